// Numbers and dates for people. Money arrives as integer micro-units.

import { locale, text } from "./messages";

const MICROS = 1_000_000;
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
const change = new Intl.NumberFormat(locale, {
  style: "percent",
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});
const ratioFormat = new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
// dates are calendar days in UTC, moments are shown in the reader's zone
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const dayAndYear = new Intl.DateTimeFormat(locale, {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const momentFormat = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

export const count = (value: number): string => whole.format(value);
export const shortCount = (value: number): string =>
  Math.abs(value) < 1_000_000 ? whole.format(value) : compact.format(value);
export const percent = (value: number): string => share.format(value);
export const signedPercent = (value: number): string => change.format(value);
export const ratio = (value: number | null): string =>
  value === null ? text.nothing : `${ratioFormat.format(value)}×`;
export const calendarDay = (date: string): string => day.format(new Date(`${date}T00:00:00Z`));
export const fullDay = (date: string): string => dayAndYear.format(new Date(`${date}T00:00:00Z`));
export const moment = (instant: string): string => momentFormat.format(new Date(instant));

export function dayRange(from: string, to: string): string {
  return dayAndYear.formatRange(new Date(`${from}T00:00:00Z`), new Date(`${to}T00:00:00Z`));
}

export interface Money {
  exact: (micros: number | null) => string;
  short: (micros: number | null) => string;
  axis: (micros: number) => string;
}

export function moneyIn(currency: string): Money {
  const options = { style: "currency", currency, currencyDisplay: "narrowSymbol" } as const;
  const exact = new Intl.NumberFormat(locale, options);
  const short = new Intl.NumberFormat(locale, { ...options, notation: "compact", maximumFractionDigits: 2 });
  const axis = new Intl.NumberFormat(locale, {
    ...options,
    notation: "compact",
    minimumFractionDigits: 0,
    maximumFractionDigits: 2,
  });
  const shown = (format: Intl.NumberFormat) => (micros: number | null) =>
    micros === null ? text.nothing : format.format(micros / MICROS);
  return {
    exact: shown(exact),
    short: (micros) => shown(micros !== null && Math.abs(micros) >= 100_000 * MICROS ? short : exact)(micros),
    axis: (micros) => axis.format(micros / MICROS),
  };
}

/** Relative change; none without an earlier value to divide by. */
export function relativeChange(now: number | null, before: number | null): number | null {
  if (now === null || before === null || before === 0) return null;
  return now / before - 1;
}
