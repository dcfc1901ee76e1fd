// What the charts look like: pure functions from numbers and colours to ECharts options.

import type { BarSeriesOption, LineSeriesOption } from "echarts/charts";
import type { GridComponentOption, TooltipComponentOption } from "echarts/components";
import type { ComposeOption } from "echarts/core";
import * as format from "./format";
import { text } from "./messages";
import type { Daily, Ltv } from "./types";

export type Option = ComposeOption<
  BarSeriesOption | LineSeriesOption | GridComponentOption | TooltipComponentOption
>;

export interface Colours {
  text: string;
  muted: string;
  line: string;
  surface: string;
  first: string;
  second: string;
  font: string;
}

function common(colours: Colours): Option {
  return {
    animationDuration: 250,
    textStyle: { fontFamily: colours.font, color: colours.muted },
    tooltip: {
      trigger: "axis",
      renderMode: "richText", // the HTML tooltip writes style attributes, which the policy forbids
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.text, fontSize: 13 },
      axisPointer: { type: "line", lineStyle: { color: colours.muted } },
    },
  };
}

const categories = (colours: Colours, labels: string[], gridIndex = 0, shown = true) => ({
  type: "category" as const,
  gridIndex,
  data: labels,
  axisTick: { show: false },
  axisLine: { lineStyle: { color: colours.line } },
  axisLabel: { show: shown, color: colours.muted, hideOverlap: true },
});

const values = (colours: Colours, gridIndex: number, name: string, formatter: (value: number) => string) => ({
  type: "value" as const,
  gridIndex,
  name,
  nameGap: 14,
  nameTextStyle: { color: colours.text, fontWeight: 600, align: "left" as const, padding: [0, 0, 0, -56] },
  splitNumber: 3,
  minInterval: 1,
  splitLine: { lineStyle: { color: colours.line } },
  axisLabel: { color: colours.muted, formatter },
});

/** Installs as bars above revenue as a line: two scales, so two grids over one row of dates. */
export function dailyOption(days: Daily[], money: format.Money, colours: Colours): Option {
  const labels = days.map((day) => format.calendarDay(day.date));
  const missing = (day: Daily, value: number) => (day.reported ? value : "-");
  return {
    ...common(colours),
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    grid: [
      { left: 64, right: 12, top: 34, height: "33%", outerBoundsMode: "none" },
      { left: 64, right: 12, bottom: 28, height: "33%", outerBoundsMode: "none" },
    ],
    xAxis: [categories(colours, labels, 0, false), categories(colours, labels, 1)],
    yAxis: [
      values(colours, 0, text.daily.installs, format.shortCount),
      values(colours, 1, text.daily.revenue, (value) => money.axis(value * 1e6)),
    ],
    series: [
      {
        name: text.daily.installs,
        type: "bar",
        xAxisIndex: 0,
        yAxisIndex: 0,
        data: days.map((day) => missing(day, day.installs)),
        itemStyle: { color: colours.first, borderRadius: [3, 3, 0, 0] },
        barMaxWidth: 28,
        tooltip: { valueFormatter: (value) => (typeof value === "number" ? format.count(value) : text.nothing) },
      },
      {
        name: text.daily.revenue,
        type: "line",
        xAxisIndex: 1,
        yAxisIndex: 1,
        data: days.map((day) => missing(day, day.revenueMicros / 1e6)),
        symbol: "circle",
        symbolSize: 6,
        showSymbol: days.length <= 31,
        lineStyle: { width: 2, color: colours.second },
        itemStyle: { color: colours.second },
        tooltip: {
          valueFormatter: (value) => (typeof value === "number" ? money.exact(value * 1e6) : text.nothing),
        },
      },
    ],
  } as Option;
}

/** Users per range of predicted value. */
export function ltvOption(ltv: Ltv, money: format.Money, colours: Colours): Option {
  const last = ltv.histogram.length - 1;
  return {
    ...common(colours),
    grid: { left: 64, right: 12, top: 34, bottom: 28, outerBoundsMode: "none" },
    xAxis: categories(
      colours,
      ltv.histogram.map((bin, index) => money.axis(bin.fromMicros) + (index === last ? "+" : "")),
    ),
    yAxis: values(colours, 0, text.ltv.users, format.shortCount),
    series: [
      {
        name: text.ltv.users,
        type: "bar",
        data: ltv.histogram.map((bin) => bin.users),
        barCategoryGap: "8%",
        itemStyle: { color: colours.first, borderRadius: [3, 3, 0, 0] },
        tooltip: { valueFormatter: (value) => (typeof value === "number" ? format.count(value) : text.nothing) },
      },
    ],
  } as Option;
}

export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"),
    muted: read("--muted"),
    line: read("--line"),
    surface: read("--surface"),
    first: read("--accent"),
    second: read("--second"),
    font: style.fontFamily,
  };
}
