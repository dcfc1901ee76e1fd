// Columns that several pages' tables have.

import * as format from "./format";
import { text } from "./language.svelte";
import type { Column } from "./table";
import type { Campaign } from "./types";

interface Channel {
  source: string;
  campaign: string;
}

export const sourceColumn = <Row extends { source: string }>(): Column<Row> => ({
  key: "source",
  label: text.source,
  value: (row) => row.source,
});

export const channelColumns = <Row extends Channel>(): Column<Row>[] => [
  sourceColumn<Row>(),
  { key: "campaign", label: text.campaign, value: (row) => row.campaign },
];

export function numberColumn<Row>(
  key: string,
  label: string,
  value: (row: Row) => number | null,
  shown: (value: number) => string = format.count,
): Column<Row> {
  const words = (row: Row) => {
    const found = value(row);
    return found === null ? text.nothing : shown(found);
  };
  return { key, label, value, shown: words, isNumber: true };
}

/** A difference: its sign is shown, in words' colour too. */
export function differenceColumn<Row>(
  key: string,
  label: string,
  value: (row: Row) => number,
  shown: (value: number) => string,
): Column<Row> {
  return {
    ...numberColumn(key, label, value, (each) => format.signed(each, shown)),
    tone: (row) => (value(row) > 0 ? "good" : value(row) < 0 ? "bad" : "neutral"),
  };
}

export const campaignColumns = (): Column<Campaign>[] => [
  ...channelColumns<Campaign>(),
  numberColumn("spendMicros", text.campaigns.spend, (row) => row.spendMicros, format.money),
  numberColumn("clicks", text.campaigns.clicks, (row) => row.clicks),
  numberColumn("installs", text.campaigns.installs, (row) => row.installs),
  numberColumn("cpiMicros", text.campaigns.cpi, (row) => (row.spendMicros === 0 ? null : row.cpiMicros), format.money),
  numberColumn("revenueMicros", text.campaigns.revenue, (row) => row.revenueMicros, format.money),
  numberColumn("roas", text.campaigns.roas, (row) => row.roas, format.ratio),
];

/** Why it was so: in the reader's language where its code is known, else the server's English. */
export function reasonColumn<Row extends { reason: string }>(
  label: string,
  translated: (row: Row) => string | undefined,
): Column<Row> {
  return {
    key: "reason",
    label,
    value: (row) => row.reason,
    shown: (row) => translated(row) ?? row.reason,
    isEnglish: (row) => translated(row) === undefined,
    isLong: true,
  };
}
