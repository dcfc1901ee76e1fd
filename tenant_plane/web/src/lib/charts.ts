// What the charts look like: one pure function from series and colours to ECharts options.

import type { BarSeriesOption, LineSeriesOption } from "echarts/charts";
import type { GridComponentOption, LegendComponentOption, TooltipComponentOption } from "echarts/components";
import type { ComposeOption } from "echarts/core";

export type Option = ComposeOption<
  BarSeriesOption | LineSeriesOption | GridComponentOption | LegendComponentOption | TooltipComponentOption
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

export interface Series {
  name: string;
  kind: "bar" | "line";
  colour: "first" | "second" | "muted";
  data: (number | null)[];
  stack?: boolean;
}

/** Series of one scale. A figure has one or two of them above each other: two scales never share an axis. */
export interface Panel {
  name: string;
  format: (value: number) => string;
  axis: (value: number) => string;
  series: Series[];
  isWhole?: boolean;
  highest?: number;
}

export interface Figure {
  labels: string[];
  panels: Panel[];
  /** Bars lie, with their labels to the left: names too long to stand under a bar. */
  isLying?: boolean;
}

/** Room for the labels of lying bars: enough for a campaign's name, never more than a third. */
const labelWidth = (width: number) => Math.round(Math.min(230, Math.max(96, width * 0.3)));

export function optionOf(figure: Figure, colours: Colours, width: number): Option {
  const { panels } = figure;
  const names = panels.flatMap((panel) => panel.series.map((series) => series.name));
  const legend = panels.some((panel) => panel.series.length > 1);
  const top = legend ? 62 : 34;
  const height = panels.length > 1 ? "30%" : undefined;
  return {
    animationDuration: 250,
    textStyle: { fontFamily: colours.font, color: colours.muted },
    tooltip: {
      trigger: "axis",
      renderMode: "richText", // the HTML tooltip writes style attributes, which the policy forbids
      confine: true,
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.text, fontSize: 13 },
      axisPointer: { type: figure.isLying ? "shadow" : "line", lineStyle: { color: colours.muted } },
    },
    ...(legend
      ? { legend: { top: 0, left: 0, data: names, textStyle: { color: colours.text }, selectedMode: false } }
      : {}),
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    grid: panels.map((_panel, index) => ({
      left: figure.isLying ? labelWidth(width) : 64,
      right: 16,
      ...(index === 0 ? { top } : {}),
      ...(index === panels.length - 1 ? { bottom: 28 } : {}),
      ...(height === undefined ? {} : { height }),
      outerBoundsMode: "none" as const,
    })),
    ...axes(figure, colours, width),
    series: panels.flatMap((panel, index) => panel.series.map((series) => seriesOf(figure, panel, series, index, colours))),
  } as Option;
}

function axes(figure: Figure, colours: Colours, width: number): object {
  const labelled = figure.panels.map((_panel, index) => ({
    type: "category" as const,
    gridIndex: index,
    data: figure.labels,
    inverse: figure.isLying === true,
    axisTick: { show: false },
    axisLine: { lineStyle: { color: colours.line } },
    axisLabel: {
      show: index === figure.panels.length - 1,
      color: colours.muted,
      ...(figure.isLying ? { lineHeight: 15, width: labelWidth(width) - 12, overflow: "truncate" as const, interval: 0 } : { hideOverlap: true }),
    },
  }));
  const measured = figure.panels.map((panel, index) => ({
    type: "value" as const,
    gridIndex: index,
    name: figure.isLying ? "" : panel.name,
    nameGap: 14,
    nameTextStyle: { color: colours.text, fontWeight: 600, align: "left" as const, padding: [0, 0, 0, -56] },
    splitNumber: 3,
    ...(panel.isWhole ? { minInterval: 1 } : {}),
    ...(panel.highest === undefined ? {} : { max: panel.highest }),
    splitLine: { lineStyle: { color: colours.line } },
    axisLabel: { color: colours.muted, formatter: panel.axis, hideOverlap: true },
  }));
  return figure.isLying ? { yAxis: labelled, xAxis: measured } : { xAxis: labelled, yAxis: measured };
}

function seriesOf(figure: Figure, panel: Panel, series: Series, index: number, colours: Colours): object {
  const shared = {
    name: series.name,
    type: series.kind,
    xAxisIndex: index,
    yAxisIndex: index,
    data: series.data.map((value) => value ?? "-"),
    itemStyle: { color: colours[series.colour] },
    tooltip: { valueFormatter: (value: unknown) => (typeof value === "number" ? panel.format(value) : "—") },
    ...(series.stack ? { stack: "all" } : {}),
  };
  if (series.kind === "bar") {
    return { ...shared, barMaxWidth: 28, ...(series.stack || panel.series.length > 1 ? {} : { barCategoryGap: "12%" }) };
  }
  const dashed = series.colour === "muted" ? { type: "dashed" as const } : {};
  return {
    ...shared,
    symbol: "circle",
    symbolSize: 6,
    showSymbol: figure.labels.length <= 31,
    lineStyle: { width: 2, color: colours[series.colour], ...dashed },
  };
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
