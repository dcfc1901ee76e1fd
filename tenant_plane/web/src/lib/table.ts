// What a table shows of its rows, and their order.

export interface Column<Row> {
  key: string;
  label: string;
  /** What it is sorted by, and what tests read; text columns are aligned left. */
  value: (row: Row) => string | number | null;
  shown?: (row: Row) => string;
  isNumber?: boolean;
  /** Whether a row's words are the server's, in English. */
  isEnglish?: (row: Row) => boolean;
  isLong?: boolean;
  href?: (row: Row) => string;
  tone?: (row: Row) => "good" | "bad" | "neutral";
}

export interface Order {
  key: string;
  ascending: boolean;
}

/** A sorted copy; rows without a value come last either way, equal rows keep their order. */
export function sorted<Row>(rows: readonly Row[], column: Column<Row> | undefined, ascending: boolean): Row[] {
  if (column === undefined) return [...rows];
  const sign = ascending ? 1 : -1;
  return [...rows].sort((left, right) => {
    const a = column.value(left);
    const b = column.value(right);
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return typeof a === "string" ? sign * a.localeCompare(String(b)) : sign * (a - Number(b));
  });
}
