/** The tables that a person reads: in the terminal and in docs/reports/performance.md. */
import Table from "cli-table3";
import { type Judged, medianUsage, type Run } from "./results.ts";

/** Three significant digits, thousands separated. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const withUnit = (value: number, unit: string) =>
  Number.isNaN(value) ? "–" : `${figure(value)}${unit ? ` ${unit}` : ""}`;

export const ratioText = (ratio: number) => (Number.isNaN(ratio) ? "–" : `${figure(ratio)} ×`);

const spreadText = ({ spread: [low, high] }: Judged) =>
  Number.isFinite(low) && low !== high ? `${figure(low)}–${figure(high)}` : "";

const HEAD = [
  "scenario",
  "act-drizzle",
  "act-pg's protocol",
  "ratio",
  "rounds' ratios",
  "must reach",
  "",
  "floor",
  "act-pg's release",
];

const cells = (judged: Judged): string[] => {
  const { row, ours, baseline, floor, ratio, verdict } = judged;
  return [
    row.label,
    withUnit(ours, row.unit),
    withUnit(baseline, row.unit),
    ratioText(ratio),
    spreadText(judged),
    row.goal ?? "",
    verdict,
    withUnit(floor, row.unit),
    row.published ?? "",
  ];
};

export function terminalTable(judged: readonly Judged[]): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [], compact: true } });
  table.push(...judged.map(cells));
  return table.toString();
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (values: readonly string[]) =>
    `| ${values.map((v) => v.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

export const ratiosMarkdown = (judged: readonly Judged[]) => markdownTable(HEAD, judged.map(cells));

/** CPU and memory per scenario and subject. */
export function usageMarkdown(run: Run): string {
  const rows = run.scenarios.flatMap(({ name, rounds }) =>
    Object.entries(rounds).flatMap(([id, measured]) => {
      const usage = medianUsage(measured);
      if (!usage) return [];
      const percent = (value: number) => (Number.isNaN(value) ? "–" : `${Math.round(value)} %`);
      return [
        [
          name,
          run.subjects[id] ?? id,
          percent(usage.nodeCpu),
          percent(usage.postgresCpu),
          `${Math.round(usage.peakRss)} MiB`,
        ],
      ];
    }),
  );
  return markdownTable(["scenario", "subject", "CPU Node", "CPU PostgreSQL", "peak RSS of the runner"], rows);
}

/** Every subject's median of every row, peers included. */
export function everyoneMarkdown(
  run: Run,
  peers: readonly string[],
  median: (values: number[]) => number,
): string {
  const rows = run.scenarios.flatMap(({ rows: judged, rounds }) => {
    if (!peers.some((id) => rounds[id]?.length)) return [];
    return judged.map((row) => [
      row.label,
      ...["act-drizzle", "baseline", ...peers].map((id) =>
        withUnit(
          median((rounds[id] ?? []).map(({ metrics }) => metrics[row.metric] ?? Number.NaN)),
          row.unit,
        ),
      ),
    ]);
  });
  if (rows.length === 0) return "";
  return markdownTable(
    ["scenario", ...["act-drizzle", "baseline", ...peers].map((id) => run.subjects[id] ?? id)],
    rows,
  );
}
