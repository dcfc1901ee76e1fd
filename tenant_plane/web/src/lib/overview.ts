// The overview's key figures: which of the numbers, how they are shown, and whether more is better.

import type { KeyFigure } from "./figures";
import * as format from "./format";
import { text } from "./language.svelte";
import type { Stats, Totals } from "./types";

export function overviewFigures(stats: Stats): KeyFigure[] {
  const now = stats.totals;
  const clicks = stats.campaigns.reduce((sum, each) => sum + each.clicks, 0);
  const figure = (
    id: string,
    label: string,
    read: (totals: Totals) => number | null,
    shown: (value: number) => string,
    hint: string,
    better: KeyFigure["better"] = "up",
  ): KeyFigure => {
    const value = read(now);
    const words = value === null ? text.nothing : shown(value);
    return { id, label, value, shown: words, hint, before: read(stats.previous), better };
  };
  const { kpi } = text;
  const organic = now.installs > 0 ? kpi.organic(format.percent(now.organicInstalls / now.installs)) : "";
  const days = kpi.reportedDays(format.count(now.reportedDays), stats.daily.length, format.count(stats.daily.length));
  return [
    figure("installs", kpi.installs, (totals) => totals.installs, format.shortCount, organic),
    figure(
      "revenue",
      kpi.revenue,
      (totals) => totals.revenueMicros,
      format.shortMoney,
      kpi.purchases(now.purchases, format.count(now.purchases)),
    ),
    figure(
      "spend",
      kpi.spend,
      (totals) => totals.spendMicros,
      format.shortMoney,
      kpi.clicks(clicks, format.count(clicks)),
      "neither",
    ),
    figure("roas", kpi.roas, (totals) => totals.roas, format.ratio, kpi.roasHint),
    figure("cpi", kpi.cpi, (totals) => totals.cpiMicros, format.money, kpi.cpiHint, "down"),
    figure(
      "active-users",
      kpi.activeUsers,
      (totals) => totals.dailyActiveUsersMean,
      format.shortCount,
      kpi.peak(format.count(now.dailyActiveUsersPeak)),
    ),
    figure(
      "sessions",
      kpi.sessions,
      (totals) => totals.sessions,
      format.shortCount,
      kpi.newUsers(now.newUsers, format.count(now.newUsers)),
    ),
    figure("events", kpi.events, (totals) => totals.events, format.shortCount, days),
  ];
}
