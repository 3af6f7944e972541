/** query_stats over 10,000 streams of 50 events each. */
import type { QueryStatsOptions, Store } from "@rotorsoft/act";
import postgres from "postgres";
import { streamName } from "../lib/data.ts";
import { closedLoop, loopMetrics, timed } from "../lib/measure.ts";
import { onStore } from "../lib/store.ts";
import type { Scenario } from "../lib/types.ts";
import { baseline } from "../subjects/index.ts";
import { bigLog, LOG_STREAMS } from "./read.ts";

type Input = Parameters<Store["query_stats"]>[0];

type StatsCase = {
  readonly name: string;
  readonly label: string;
  readonly input: Input;
  readonly options?: QueryStatsOptions;
  readonly expected: number;
  readonly times: number;
  readonly goal: string;
  readonly published: string;
};

const NAMED = Array.from({ length: 50 }, (_, n) => streamName((n * 7_919) % LOG_STREAMS));

/** Too slow to be looped over in a round of a second or two: one call is the figure. */
const SLOW_MS = 400;

function stats({ name, label, input, options, expected, times, goal, published }: StatsCase): Scenario {
  return {
    name,
    title: label,
    rows: () => [
      { id: name, label, metric: "p50", unit: "ms", better: "less", must: { times }, goal, published },
    ],
    prepare: async (bench, subject) => {
      const schema = await bigLog(bench, subject);
      const store = await subject.open({ url: bench.url, schema });
      const ask = async () => {
        const { size } = await store.query_stats(input, options);
        if (size !== expected) throw new Error(`Expected ${expected} streams, got ${size}`);
      };
      await ask();
      return onStore(store, async () => {
        const once = await timed(ask);
        if (once > SLOW_MS) return { p50: once };
        return loopMetrics(await closedLoop(1, bench.millis, ask));
      });
    },
    floor:
      expected > 50
        ? undefined
        : {
            note: "50 heads by index, one prepared SELECT",
            prepare: async (bench) => {
              const schema = await bigLog(bench, baseline);
              const sql = postgres(bench.url, { max: 1, fetch_types: false });
              const text = `select h.* from unnest(string_to_array($1, ',')) s(stream), lateral (
                select * from "${schema}".events e where e.stream = s.stream order by version desc limit 1) h`;
              const ask = () => sql.unsafe(text, [NAMED.join(",")], { prepare: true });
              return {
                run: async () => loopMetrics(await closedLoop(1, bench.millis / 2, ask)),
                close: () => sql.end(),
              };
            },
          },
  };
}

export const statsScenarios: readonly Scenario[] = [
  stats({
    name: "stats-heads-page",
    label: "query_stats page of 50 of 10,000 streams: heads",
    input: {},
    options: { limit: 50 },
    expected: 50,
    times: 8,
    goal: "≤ ⅛",
    published: "45",
  }),
  stats({
    name: "stats-counts-page",
    label: "query_stats page of 50 of 10,000 streams: count + names",
    input: {},
    options: { limit: 50, count: true, names: true },
    expected: 50,
    times: 40,
    goal: "≤ 1⁄40",
    published: "1,454",
  }),
  stats({
    name: "stats-heads-named",
    label: "query_stats heads: 50 named streams (500,000 events)",
    input: NAMED,
    expected: 50,
    times: 3,
    goal: "≤ ⅓",
    published: "6.7",
  }),
  stats({
    name: "stats-heads-all",
    label: "query_stats heads: all 10,000 streams (500,000 events)",
    input: {},
    expected: LOG_STREAMS,
    times: 3,
    goal: "≤ ⅓",
    published: "887",
  }),
];
