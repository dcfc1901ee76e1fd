// What the heat map shows of a cohort at an age, and how strongly it is coloured.

import * as format from "./format";
import { text } from "./language.svelte";
import type { CohortCell } from "./types";

export const MEASURES = ["retention", "revenue", "roas"] as const;
export type Measure = (typeof MEASURES)[number];

export function measureOf(measure: Measure, cell: CohortCell): number | null {
  if (measure === "retention") return cell.retention;
  return measure === "revenue" ? cell.revenuePerInstallMicros : cell.roas;
}

export function shownMeasure(measure: Measure, value: number | null): string {
  if (value === null) return text.nothing;
  if (measure === "retention") return format.finePercent(value);
  return measure === "revenue" ? format.money(value) : format.ratio(value);
}

export const STEPS = 7;

/** Steps of colour from 0 (nothing) to STEPS, the highest; of retention day 0 is everybody and sets no scale. */
export function step(value: number | null, highest: number): number {
  if (value === null || value <= 0 || highest <= 0) return 0;
  return Math.min(STEPS, Math.max(1, Math.ceil((value / highest) * STEPS)));
}

export function highestOf(measure: Measure, cells: CohortCell[]): number {
  const counted = measure === "retention" ? cells.filter((cell) => cell.day > 0) : cells;
  return counted.reduce((highest, cell) => Math.max(highest, measureOf(measure, cell) ?? 0), 0);
}
