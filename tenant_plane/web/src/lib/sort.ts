// Order of the campaign table.

import type { Campaign } from "./types";

export type Column = "source" | "campaign" | "spendMicros" | "clicks" | "installs" | "cpiMicros" | "revenueMicros" | "roas";
export interface Order {
  column: Column;
  ascending: boolean;
}

/** A sorted copy; rows without a value come last either way, equal rows keep their order. */
export function sorted(rows: Campaign[], { column, ascending }: Order): Campaign[] {
  const sign = ascending ? 1 : -1;
  return [...rows].sort((left, right) => {
    const a = left[column];
    const b = right[column];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return typeof a === "string" ? sign * a.localeCompare(String(b)) : sign * (a - Number(b));
  });
}
