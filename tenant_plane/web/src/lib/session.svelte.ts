// Who is signed in here, and that somebody no longer is.

import type { Config, WhoAmI } from "./types";

let who = $state.raw<WhoAmI | null>(null);
let ended = $state(false);
let configured = $state.raw<Config | null>(null);

export const person = (): WhoAmI | null => who;
export const isAdministrator = (): boolean => who?.role === "tenant_admin";
/** Whether the session ended by itself: the sign-in page says so. */
export const hasEnded = (): boolean => ended;

export function beginSession(someone: WhoAmI): void {
  who = someone;
  ended = false;
}

export function endSession(): void {
  ended ||= who !== null; // several calls of one page may hear of it
  who = null;
}

export function leave(): void {
  who = null;
  ended = false;
}

export function configure(config: Config): void {
  configured = config;
}

/** The plane's public settings, which are there before anything is shown. */
export function config(): Config {
  if (configured === null) throw new Error("the settings are read before they were loaded");
  return configured;
}
