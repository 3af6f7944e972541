/** What a run found, as it is written to JSON, and the judgement of each row. */
import { median } from "./measure.ts";
import type { Environment } from "./server.ts";
import type { Metrics, Row } from "./types.ts";
import type { Usage } from "./usage.ts";

export type Round = { readonly metrics: Metrics; readonly usage: Usage };

/** Rounds by subject id; `floor` is one of them. */
export type ScenarioResult = {
  readonly name: string;
  readonly title: string;
  readonly note?: string;
  readonly rows: readonly Row[];
  readonly rounds: Readonly<Record<string, readonly Round[]>>;
  /** Subjects that could not run it, and why. */
  readonly failures: Readonly<Record<string, string>>;
};

export type Run = {
  readonly environment: Environment;
  readonly command: string;
  readonly subjects: Readonly<Record<string, string>>;
  readonly scenarios: readonly ScenarioResult[];
  /** Scenarios that were measured by themselves since, as `environment` and `command` do not say. */
  readonly since?: readonly Since[];
};

type Since = { readonly date: string; readonly command: string; readonly scenarios: readonly string[] };

/** A run of some scenarios takes the place of their results; the others keep theirs. */
export function merged(before: Run, run: Run): Run {
  const names = run.scenarios.map(({ name }) => name);
  const isOther = (name: string) => !names.includes(name);
  const since = (before.since ?? []).map((each) => ({ ...each, scenarios: each.scenarios.filter(isOther) }));
  const { date } = run.environment;
  return {
    ...before,
    subjects: { ...before.subjects, ...run.subjects },
    scenarios: [...before.scenarios.filter(({ name }) => isOther(name)), ...run.scenarios],
    since: [
      ...since.filter(({ scenarios }) => scenarios.length > 0),
      { date, command: run.command, scenarios: names },
    ],
  };
}

export type Judged = {
  readonly row: Row;
  readonly scenario: string;
  readonly ours: number;
  readonly baseline: number;
  readonly floor: number;
  /** How many times better than the baseline; NaN without one. */
  readonly ratio: number;
  /** The worst and the best ratio of two rounds that ran next to each other. */
  readonly spread: readonly [number, number];
  readonly verdict: "pass" | "miss" | "";
};

const metricOf = (rounds: readonly Round[] | undefined, metric: string): number[] =>
  (rounds ?? []).map((round) => round.metrics[metric] ?? Number.NaN);

const times = (row: Row, ours: number, other: number) =>
  row.better === "more" ? ours / other : other / ours;

/** `ours` and `baseline` are subject ids: an A/A run judges the baseline against itself. */
export function judge(run: Run, ours = "act-drizzle", baseline = "baseline"): Judged[] {
  return run.scenarios.flatMap((scenario) =>
    scenario.rows.map((row) => {
      const mine = metricOf(scenario.rounds[ours], row.metric);
      const theirs = metricOf(scenario.rounds[baseline], row.metric);
      const our = median(mine);
      const their = median(theirs);
      const ratio = times(row, our, their);
      const pairs = mine
        .map((value, n) => times(row, value, theirs[n] ?? Number.NaN))
        .filter((value) => !Number.isNaN(value));
      return {
        row,
        scenario: scenario.name,
        ours: our,
        baseline: their,
        floor: median(metricOf(scenario.rounds.floor, row.metric)),
        ratio,
        spread: [Math.min(...pairs), Math.max(...pairs)] as const,
        verdict: verdict(row, our, ratio, (metric) => median(metricOf(scenario.rounds[ours], metric))),
      };
    }),
  );
}

function verdict(row: Row, ours: number, ratio: number, own: (metric: string) => number): Judged["verdict"] {
  if (!row.must || Number.isNaN(ours)) return "";
  if ("times" in row.must) {
    const { times, atLeast = ours } = row.must;
    return Number.isNaN(ratio) ? "" : ratio >= times && ours >= atLeast ? "pass" : "miss";
  }
  const limit = "own" in row.must ? own(row.must.own) * row.must.atMost : row.must.atMost;
  return ours <= limit ? "pass" : "miss";
}

/** Median CPU and memory of a subject in a scenario. */
export function medianUsage(rounds: readonly Round[] | undefined): Usage | undefined {
  if (!rounds?.length) return undefined;
  return {
    nodeCpu: median(rounds.map(({ usage }) => usage.nodeCpu)),
    postgresCpu: median(rounds.map(({ usage }) => usage.postgresCpu)),
    peakRss: median(rounds.map(({ usage }) => usage.peakRss)),
  };
}
