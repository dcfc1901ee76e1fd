// Numbers, dates and ages for people, in the chosen language. Money arrives as integer micro-units.

import { text } from "./language.svelte";
import { config } from "./session.svelte";

const MICROS = 1_000_000;

interface Formats {
  whole: Intl.NumberFormat;
  tenth: Intl.NumberFormat;
  compact: Intl.NumberFormat;
  share: Intl.NumberFormat;
  fineShare: Intl.NumberFormat;
  change: Intl.NumberFormat;
  ratio: Intl.NumberFormat;
  money: Intl.NumberFormat;
  shortMoney: Intl.NumberFormat;
  // dates are calendar days in UTC, moments are shown in the reader's zone
  day: Intl.DateTimeFormat;
  dayAndYear: Intl.DateTimeFormat;
  moment: Intl.DateTimeFormat;
}

const made = new Map<string, Formats>();

function formats(): Formats {
  const locale = text.locale;
  let found = made.get(locale);
  if (found === undefined) {
    found = make(locale, config().CURRENCY);
    made.set(locale, found);
  }
  return found;
}

function make(locale: string, currency: string): Formats {
  const money = { style: "currency", currency, currencyDisplay: "narrowSymbol" } as const;
  const utc = { timeZone: "UTC" } as const;
  return {
    whole: new Intl.NumberFormat(locale, { maximumFractionDigits: 0 }),
    tenth: new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }),
    compact: new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 2 }),
    share: new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 }),
    fineShare: new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }),
    change: new Intl.NumberFormat(locale, {
      style: "percent",
      maximumFractionDigits: 1,
      signDisplay: "exceptZero",
    }),
    ratio: new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    money: new Intl.NumberFormat(locale, money),
    shortMoney: new Intl.NumberFormat(locale, {
      ...money,
      notation: "compact",
      minimumFractionDigits: 0,
      maximumFractionDigits: 2,
    }),
    day: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...utc }),
    dayAndYear: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", ...utc }),
    moment: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }),
  };
}

type Maybe = number | null;
const orNothing = (value: Maybe, shown: (value: number) => string) => (value === null ? text.nothing : shown(value));
const utcDay = (date: string) => new Date(`${date}T00:00:00Z`);

export const count = (value: number): string => formats().whole.format(value);
export const part = (value: number): string => formats().tenth.format(value);
export const shortCount = (value: number): string =>
  Math.abs(value) < 1_000_000 ? count(value) : formats().compact.format(value);
export const percent = (value: Maybe): string => orNothing(value, (each) => formats().share.format(each));
export const finePercent = (value: Maybe): string => orNothing(value, (each) => formats().fineShare.format(each));
export const signedPercent = (value: number): string => formats().change.format(value);
export const ratio = (value: Maybe): string => orNothing(value, (each) => `${formats().ratio.format(each)}×`);
export const money = (micros: Maybe): string => orNothing(micros, (each) => formats().money.format(each / MICROS));
export const axisMoney = (micros: number): string => formats().shortMoney.format(micros / MICROS);
export const shortMoney = (micros: Maybe): string =>
  micros !== null && Math.abs(micros) >= 100_000 * MICROS ? axisMoney(micros) : money(micros);
/** With its sign, as a difference is read. */
export const signed = (value: number, shown: (value: number) => string): string =>
  value > 0 ? `+${shown(value)}` : shown(value);

export const calendarDay = (date: string): string => formats().day.format(utcDay(date));
export const fullDay = (date: string | null): string =>
  date === null ? text.nothing : formats().dayAndYear.format(utcDay(date));
export const moment = (instant: string | null): string =>
  instant === null ? text.nothing : formats().moment.format(new Date(instant));
export const dayRange = (from: string, to: string): string =>
  formats().dayAndYear.formatRange(utcDay(from), utcDay(to));

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

export function bytes(value: number): string {
  const power = value < 1000 ? 1 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(value) / 3));
  const unit = BYTE_UNITS[power] ?? "byte";
  const options = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(text.locale, options).format(value / 1000 ** power);
}

/** An age in its two largest units: `3 d 4 h`. */
export function duration(ms: number): string {
  const units = [
    [text.units.d, 86_400_000],
    [text.units.h, 3_600_000],
    [text.units.min, 60_000],
    [text.units.s, 1000],
  ] as const;
  const shown: string[] = [];
  let left = Math.abs(ms);
  for (const [unit, size] of units) {
    const whole = Math.floor(left / size);
    if (whole > 0 && shown.length < 2) {
      shown.push(`${count(whole)} ${unit}`);
      left -= whole * size;
    } else if (shown.length > 0) break;
  }
  return shown.length > 0 ? shown.join(" ") : `0 ${text.units.s}`;
}

/** Relative change; none without an earlier value to divide by. */
export function relativeChange(now: Maybe, before: Maybe): number | null {
  if (now === null || before === null || before === 0) return null;
  return now / before - 1;
}
