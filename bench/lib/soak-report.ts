/** A soak as a table, a judgement, and plots. */
import { median } from "./measure.ts";
import { COLOURS, lines, OURS, THEIRS } from "./plots.ts";
import { figure, markdownTable } from "./report.ts";
import type { Environment } from "./server.ts";

export type Sample = {
  /** Minutes since the start, at the end of the sample. */
  readonly minute: number;
  readonly commits: number;
  readonly commitP50: number;
  readonly commitP99: number;
  readonly reactions: number;
  readonly reactionP50: number;
  readonly reactionP99: number;
  /** A claim that finds nothing, as a probe of the indexes. */
  readonly claim: number;
  /** Share of HOT among the updates of subscriptions, in per cent, in this sample. */
  readonly hot: number;
  readonly dead: number;
  readonly tableMiB: number;
  readonly indexMiB: number;
};

export type Soak = {
  readonly environment: Environment;
  readonly command: string;
  readonly subject: string;
  readonly subscriptions: number;
  readonly perSecond: number;
  readonly held: boolean;
  readonly samples: readonly Sample[];
};

const COLUMNS: readonly (readonly [string, (sample: Sample) => string])[] = [
  ["minute", ({ minute }) => String(Math.round(minute * 10) / 10)],
  ["commits", ({ commits }) => figure(commits)],
  ["commit p50 / p99, ms", (s) => `${figure(s.commitP50)} / ${figure(s.commitP99)}`],
  ["reactions", ({ reactions }) => figure(reactions)],
  ["event → reaction p50 / p99, ms", (s) => `${figure(s.reactionP50)} / ${figure(s.reactionP99)}`],
  ["idle claim, ms", ({ claim }) => figure(claim)],
  ["HOT, %", ({ hot }) => figure(hot)],
  ["dead rows", ({ dead }) => figure(dead)],
  ["table, MiB", ({ tableMiB }) => figure(tableMiB)],
  ["indexes, MiB", ({ indexMiB }) => figure(indexMiB)],
];

const HOT_GOAL = 70;

/** The median of a metric in the second and in the last third: equal when it has levelled off. */
function thirds(samples: readonly Sample[], pick: (sample: Sample) => number): [number, number] {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const of = (part: readonly Sample[]) => median(part.map(pick));
  return [of(samples.slice(-2 * third, -third)), of(samples.slice(-third))];
}

export function soakVerdict({ samples }: Soak): string[] {
  const metrics: readonly (readonly [string, (sample: Sample) => number, string])[] = [
    ["commit p50", (s) => s.commitP50, "ms"],
    ["event → reaction p50", (s) => s.reactionP50, "ms"],
    ["idle claim", (s) => s.claim, "ms"],
    ["dead rows", (s) => s.dead, ""],
    ["table", (s) => s.tableMiB, "MiB"],
    ["indexes", (s) => s.indexMiB, "MiB"],
  ];
  const levels = metrics.map(([name, pick, unit]) => {
    const [middle, last] = thirds(samples, pick);
    return `${name}: ${figure(middle)} ${unit} in the middle third, ${figure(last)} ${unit} in the last (${figure(last / middle)} ×)`;
  });
  const hot = median(samples.map((sample) => sample.hot));
  return [
    ...levels,
    `HOT share: ${figure(hot)} %, must be at least ${HOT_GOAL} %: ${hot >= HOT_GOAL ? "pass" : "miss"}`,
  ];
}

export function soakMarkdown(soak: Soak): string {
  const { subscriptions, perSecond, held, samples, command, environment } = soak;
  const rows = samples.map((sample) => COLUMNS.map(([, show]) => show(sample)));
  return `## Soak${held ? " with a REPEATABLE READ session held open" : ""}

${subscriptions.toLocaleString("en-US")} subscriptions, 4 workers, 2 committers at ${perSecond} commits/s together, each commit to a random
stream. \`${command}\`, ${environment.date} UTC.

${soakVerdict(soak)
  .map((line) => `- ${line}`)
  .join("\n")}

${markdownTable(
  COLUMNS.map(([name]) => name),
  rows,
)}`;
}

export function soakFigures({ samples, held }: Soak, prefix: string) {
  const over = held ? ", one REPEATABLE READ session held open" : "";
  const points = (pick: (sample: Sample) => number) => samples.map((s) => [s.minute, pick(s)] as const);
  const [first, second, third, fourth] = [OURS, THEIRS, COLOURS[3], COLOURS[4]];
  const x = { name: "minutes" };
  return [
    {
      file: `${prefix}-latency.svg`,
      caption: "Latency over time",
      svg: lines(`Latency${over}`, x, { name: "ms", log: true }, [
        { name: "commit p50", points: points((s) => s.commitP50), colour: first },
        { name: "commit p99", points: points((s) => s.commitP99), colour: first, dashed: true },
        { name: "event → reaction p50", points: points((s) => s.reactionP50), colour: second },
        { name: "event → reaction p99", points: points((s) => s.reactionP99), colour: second, dashed: true },
        { name: "idle claim", points: points((s) => s.claim), colour: third },
      ]),
    },
    {
      file: `${prefix}-size.svg`,
      caption: "Size of the subscriptions over time",
      svg: lines(`Subscriptions table${over}`, x, { name: "MiB / per cent / thousands" }, [
        { name: "table, MiB", points: points((s) => s.tableMiB), colour: first },
        { name: "indexes, MiB", points: points((s) => s.indexMiB), colour: second },
        { name: "HOT, %", points: points((s) => s.hot), colour: third },
        { name: "dead rows, thousands", points: points((s) => s.dead / 1_000), colour: fourth, dashed: true },
      ]),
    },
  ];
}
