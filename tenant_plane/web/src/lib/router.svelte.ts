// Real addresses without reloading: one page per path, choices (period, model …) in the query.

export const PATHS = {
  overview: "/",
  attribution: "/attribution",
  cohorts: "/cohorts",
  spend: "/spend",
  funnel: "/funnel",
  fraud: "/fraud",
  value: "/value",
  trace: "/trace",
  data: "/data",
  users: "/users",
  account: "/account",
} as const;
export type PageName = keyof typeof PATHS;

let address = $state(location.pathname + location.search);
let visits = $state(0);

const here = () => new URL(address, location.origin);

/** The page of the address; null where there is none. */
export function page(): PageName | null {
  const path = here().pathname.replace(/(.)\/+$/, "$1");
  return (Object.keys(PATHS) as PageName[]).find((name) => PATHS[name] === path) ?? null;
}

export const parameter = (name: string): string => here().searchParams.get(name) ?? "";
/** One of the page's choices in the address; the first of them unless the address names another. */
export function choice<T extends string>(name: string, among: readonly T[], otherwise: T): T {
  const wanted = parameter(name);
  return among.find((each) => each === wanted) ?? otherwise;
}
/**
 * Counts arrivals at a page, not changes of its choices: a new one moves the focus to its heading. The first page of a
 * document is none, so that the first Tab finds the link that skips the menu.
 */
export const visit = (): number => visits;

/** The address of a page; the period comes along, other choices are each page's own. */
export function hrefOf(name: PageName, choices: Record<string, string> = {}): string {
  const period = parameter("period");
  const query = new URLSearchParams({ ...(period ? { period } : {}), ...choices });
  return PATHS[name] + (query.size > 0 ? `?${query}` : "");
}

export function go(href: string): void {
  history.pushState(null, "", href);
  arrive();
}

/** Change choices of this page: in the address, not in the history. */
export function set(choices: Record<string, string>): void {
  const url = here();
  for (const [name, value] of Object.entries(choices)) {
    if (value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  address = url.pathname + url.search;
  history.replaceState(null, "", address);
}

export function arrive(): void {
  address = location.pathname + location.search;
  visits += 1;
  scrollTo(0, 0);
}

function follow(event: MouseEvent): void {
  const link = (event.target as Element).closest("a");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (link === null || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

/** Listen to links and to the back and forward buttons; returns how to stop. */
export function startRouter(): () => void {
  document.addEventListener("click", follow);
  addEventListener("popstate", arrive);
  return () => {
    document.removeEventListener("click", follow);
    removeEventListener("popstate", arrive);
  };
}
