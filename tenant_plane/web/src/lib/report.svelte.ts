// Asking the server for what a page shows: the newest question's answer, its failure, and whether one is on its way.

import { ApiError, get } from "./api";
import { text } from "./language.svelte";
import { endSession } from "./session.svelte";

export class Report<T> {
  data = $state.raw<T | null>(null);
  failure = $state<string | null>(null);
  busy = $state(true);
  #asked = 0;
  #path: () => string;

  /** Ask now, and again whenever what `path` reads changes. To be made while a component is. */
  constructor(path: () => string) {
    this.#path = path;
    $effect(() => {
      void this.#load(path());
    });
  }

  again = (): void => {
    void this.#load(this.#path());
  };

  async #load(path: string): Promise<void> {
    const mine = ++this.#asked;
    this.busy = true;
    this.failure = null;
    try {
      const answer = await get<T>(path);
      if (mine === this.#asked) this.data = answer;
    } catch (error) {
      if (mine === this.#asked) this.failure = explain(error);
    } finally {
      if (mine === this.#asked) this.busy = false;
    }
  }
}

/** What to tell a person about a failed call; a session that ended goes back to signing in. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError) || error.status === 0) return text.error.offline;
  if (error.status === 401) endSession();
  if (error.status === 403) return text.error.forbidden;
  return error.message;
}
