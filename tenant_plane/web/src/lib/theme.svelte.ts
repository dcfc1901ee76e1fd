// Light or dark: the system's, unless somebody chose here. Styles read `data-theme` of the document.

export type Theme = "system" | "light" | "dark";
export const THEMES: Theme[] = ["system", "light", "dark"];

const KEY = "umg.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

let chosen = $state<Theme>(stored());
let shown = $state<"light" | "dark">("light");

function stored(): Theme {
  const kept = localStorage.getItem(KEY);
  return THEMES.find((each) => each === kept) ?? "system";
}

function apply(): void {
  shown = chosen === "system" ? (system.matches ? "dark" : "light") : chosen;
  document.documentElement.dataset.theme = shown;
}

export const theme = (): Theme => chosen;
/** What is seen now; charts are drawn again when it changes. */
export const shownTheme = (): "light" | "dark" => shown;

export function keepTheme(wanted: Theme): void {
  chosen = wanted;
  localStorage.setItem(KEY, wanted);
  apply();
}

export function startTheme(): void {
  system.addEventListener("change", apply);
  apply();
}
