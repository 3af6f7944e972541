/** Plots as SVG, rendered by ECharts without a DOM. */
import * as echarts from "echarts";
import type { Judged } from "./results.ts";

const OURS = "#2f6fed";
const THEIRS = "#c2410c";
const FLOOR = "#6b7280";
export const COLOURS = [OURS, THEIRS, FLOOR, "#0f766e", "#9333ea"] as const;

/** White behind everything: the pages that show the plots may be dark. */
const COMMON = { animation: false, backgroundColor: "#ffffff", color: [...COLOURS] };

function renderSvg(title: string, option: echarts.EChartsCoreOption, width = 760, height = 380): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption({ ...COMMON, ...option });
    // A title of its own, for readers who are told what a picture shows.
    const svg = chart.renderToSVGString();
    return `${svg.replace(/^<svg [^>]*>/, (open) => `${open}<title>${title}</title>`)}\n`;
  } finally {
    chart.dispose();
  }
}

export type Line = {
  readonly name: string;
  readonly points: readonly (readonly [number | string, number])[];
  readonly colour: string;
  readonly dashed?: boolean;
};

export type Axis = { readonly name: string; readonly log?: boolean; readonly categories?: readonly string[] };

/** Lines over a common x axis; NaN breaks a line. */
export function lines(title: string, x: Axis, y: Axis, series: readonly Line[]): string {
  const axis = ({ name, log, categories }: Axis) => ({
    name,
    nameLocation: "middle",
    nameGap: 34,
    type: categories ? "category" : log ? "log" : "value",
    ...(categories ? { data: [...categories] } : {}),
    axisLabel: { formatter: (value: number | string) => shortNumber(value) },
  });
  return renderSvg(title, {
    title: { text: title, left: "center", textStyle: { fontSize: 14 } },
    legend: { bottom: 0, itemGap: 28, textStyle: { fontSize: 11 } },
    grid: { left: 70, right: 30, top: 46, bottom: 84 },
    xAxis: axis(x),
    yAxis: { ...axis(y), nameGap: 50 },
    series: series.map(({ name, points, colour, dashed }) => ({
      name,
      type: "line",
      data: points.map(([at, value]) => [at, Number.isNaN(value) ? null : value]),
      symbolSize: points.length > 12 ? 0 : 7,
      itemStyle: { color: colour },
      lineStyle: { color: colour, type: dashed ? "dashed" : "solid" },
    })),
  });
}

const shortNumber = (value: number | string): string => {
  if (typeof value === "string") return value;
  if (value >= 1_000_000) return `${value / 1_000_000}M`;
  return value >= 1_000 ? `${value / 1_000}k` : String(value);
};

/** Every judged ratio on one logarithmic axis, with a mark where it has to reach. */
export function ratioBars(judged: readonly Judged[]): string {
  const rows = judged
    .filter(({ ratio, row }) => Number.isFinite(ratio) && row.must && "times" in row.must)
    .toReversed();
  const goal = ({ row }: Judged) => (row.must && "times" in row.must ? row.must.times : null);
  const title = "Times better than act-pg's protocol";
  return renderSvg(
    title,
    {
      title: { text: title, left: "center", textStyle: { fontSize: 14 } },
      grid: { left: 410, right: 60, top: 40, bottom: 50 },
      legend: { bottom: 0, itemGap: 28, textStyle: { fontSize: 11 } },
      xAxis: { type: "log", min: 0.5, axisLabel: { formatter: (value: number) => `${value} ×` } },
      yAxis: {
        type: "category",
        data: rows.map(({ row }) => row.label),
        axisLabel: { width: 395, fontSize: 11, overflow: "truncate" },
      },
      series: [
        {
          name: "measured",
          type: "bar",
          data: rows.map((r) => ({
            value: Number(r.ratio.toPrecision(3)),
            itemStyle: { color: r.verdict === "miss" ? THEIRS : OURS },
          })),
          barWidth: "60%",
          label: { show: true, position: "right", formatter: "{c} ×" },
        },
        {
          name: "must reach",
          type: "scatter",
          data: rows.map(goal),
          symbol: "rect",
          symbolSize: [3, 16],
          itemStyle: { color: "#111827" },
        },
      ],
    },
    900,
    70 + rows.length * 22,
  );
}

export { FLOOR, OURS, THEIRS };
