// The chosen language and its texts. Only the chosen one is loaded; choosing another changes the page in place.

import type { Messages } from "./messages/en";

export type Language = "en" | "ru";
export const LANGUAGES: Language[] = ["en", "ru"];

const KEY = "umg.language";
const LOADERS: Record<Language, () => Promise<{ messages: Messages }>> = {
  en: () => import("./messages/en"),
  ru: () => import("./messages/ru"),
};

let chosen = $state<Language>("en");
let loaded = $state.raw<Messages | null>(null);

/** The texts of the chosen language; reading one in a component makes it follow the choice. */
export const text: Messages = new Proxy({} as Messages, {
  get: (_target, name) => {
    if (loaded === null) throw new Error("the texts are read before they were loaded");
    return loaded[name as keyof Messages];
  },
});

export const language = (): Language => chosen;

/** A text of a table of names; a name that the page does not know is shown as it came. */
export function named(names: Record<string, string>, name: string): string {
  return Object.hasOwn(names, name) ? (names[name] ?? name) : name;
}

export async function choose(wanted: Language): Promise<void> {
  loaded = (await LOADERS[wanted]()).messages;
  chosen = wanted;
  document.documentElement.lang = wanted;
}

export async function keep(wanted: Language): Promise<void> {
  localStorage.setItem(KEY, wanted);
  await choose(wanted);
}

/** What was chosen here before, else the browser's first language that there is, else English. */
export function preferred(): Language {
  const stored = localStorage.getItem(KEY);
  const wishes = [stored ?? "", ...navigator.languages.map((each) => each.slice(0, 2).toLowerCase())];
  return wishes.map((wish) => LANGUAGES.find((each) => each === wish)).find((each) => each !== undefined) ?? "en";
}
