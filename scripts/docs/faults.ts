/** The table of faults in docs/reports/faults.md, from what `npm run faults -- --docs` has kept in test/faults/results.json. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FaultRecord } from "../../test/faults/kit/report.ts";
import { type Generator, markdownTable } from "./generator.ts";

export type Run = {
  readonly file: string;
  readonly round: number;
  readonly passed: boolean;
  readonly seconds: number;
  readonly records: readonly FaultRecord[];
};
/** Absent while nothing has run: date, server, node, machine. */
export type Results = {
  readonly date?: string;
  readonly server?: string;
  readonly node?: string;
  readonly machine?: string;
  readonly runs: readonly Run[];
};

export const faultResults = join(import.meta.dirname, "../../test/faults/results.json");

const head = [
  "",
  "fault",
  "load",
  "runs",
  "seconds",
  "injected",
  "acknowledged",
  "failed",
  "unknown",
  "lost",
  "duplicated",
  "longest outage",
] as const;

const number = (value: number) => Math.round(value).toLocaleString("en-US");
const time = (ms: number) => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);

/** One row for each fault: counts are the sums over all runs, the outage is the longest of them. */
export function summarize(runs: readonly Run[]) {
  const all = runs.flatMap(({ records }) => records);
  const sorted = all.toSorted((a, b) => a.item - b.item);
  const faults = Map.groupBy(sorted, ({ item, fault }) => `${item} ${fault}`);
  const rows = [...faults.values()].map((records) => {
    const sum = (of: (record: FaultRecord) => number) => records.reduce((total, r) => total + of(r), 0);
    const last = records.at(-1);
    return [
      String(last?.item),
      String(last?.fault),
      String(last?.load),
      String(records.length),
      number(sum((r) => r.seconds)),
      number(sum((r) => r.injected)),
      number(sum((r) => r.acknowledged)),
      number(sum((r) => r.failed)),
      number(sum((r) => r.unknown)),
      number(sum((r) => r.lost)),
      number(sum((r) => r.duplicated)),
      time(Math.max(...records.map((r) => r.longestOutageMs))),
    ];
  });
  return { head, rows };
}

function markdown({ runs, date, server, machine, node }: Results): string {
  const { rows } = summarize(runs);
  const align = head.map((_, i) => (i < 3 ? "---" : "---:"));
  const failed = runs.filter(({ passed }) => !passed);
  const files = new Set(runs.map(({ file }) => file)).size;
  const passed = `${runs.length - failed.length} of ${runs.length} runs passed, over ${files} files.`;
  const named = failed.map(({ file, round }) => `${file} (round ${round})`).join(", ");
  const verdict = failed.length === 0 ? passed : `${passed} **Failed:** ${named}.`;
  const about = `${server}, Node ${node}, ${machine}, ${date}, shared with other work. ${verdict}`;
  return `${about}\n\n${markdownTable(head, rows, align)}`;
}

export const faultTable: Generator = {
  file: "docs/reports/faults.md",
  name: "faults",
  render: () => {
    const results: Results = JSON.parse(readFileSync(faultResults, "utf8"));
    return markdown(results);
  },
};
