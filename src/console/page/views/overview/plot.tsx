/** A line over time, drawn by uPlot. The figures beside it say the same without a picture. */
import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { localTime } from "../../data/format.ts";
import { useDark } from "../../theme.ts";

type Series = { readonly at: readonly number[]; readonly values: readonly (number | null)[] };

const HEIGHT = 150;
const FONT = '11.5px "Liberation Sans", Arial, system-ui, sans-serif';

const colour = (name: string): string => {
  const probe = document.createElement("i");
  // light-dark() is resolved on an element, not in the text of the property.
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

const withAlpha = (rgb: string, alpha: number): string =>
  rgb.replace(/^rgba?\(([^)]*)\)$/, (_, inner: string) => `rgba(${inner.split(",").slice(0, 3)},${alpha})`);

const valuesIn = (values: ArrayLike<unknown> | undefined): number =>
  Array.from(values ?? []).filter((value) => typeof value === "number").length;

function optionsOf(format: (value: number) => string, spanS: number): UPlot.Options {
  const [line, text, grid] = [colour("--accent"), colour("--muted"), colour("--line")];
  const axis = { stroke: text, font: FONT, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width: 300,
    height: HEIGHT,
    cursor: { drag: { setScale: false }, points: { size: 6 }, y: false },
    legend: { show: false },
    padding: [8, 8, 0, 0],
    scales: {
      x: { time: true, range: (_, min, max) => [Math.min(min, max - spanS), max] },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.15 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 70,
        values: (_, splits) => splits.map((at) => localTime(new Date(at * 1_000).toISOString()).slice(11)),
      },
      { ...axis, size: 66, space: 32, values: (_, splits) => splits.map(format) },
    ],
    series: [
      {},
      {
        stroke: line,
        width: 1.6,
        fill: withAlpha(line, 0.1),
        // One sample makes no line.
        points: { show: ({ data }) => valuesIn(data[1]) === 1, size: 6, fill: line },
        spanGaps: false,
      },
    ],
  };
}

export function Plot({
  series,
  label,
  format,
  spanS = 120,
}: {
  readonly series: Series;
  /** What it shows, with its latest figure. */
  readonly label: string;
  readonly format: (value: number) => string;
  /** Seconds that are shown at least. */
  readonly spanS?: number;
}) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const data = useRef<UPlot.AlignedData>([[], []]);
  const dark = useDark();
  data.current = [[...series.at], [...series.values]];
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const made = new UPlot(optionsOf(format, spanS), data.current, element);
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    fit.observe(element);
    return () => {
      fit.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [dark, format, spanS]);
  useEffect(() => plot.current?.setData(data.current));
  return <div className="plot" ref={holder} role="img" aria-label={label} />;
}
