/** What act-drizzle/telemetry costs a store that is busy: turns with it and without, on one store. Every span is recorded. */
import { context } from "@opentelemetry/api";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { AsyncContexts } from "../../dev/async-contexts.ts";
import { instrument } from "../../src/telemetry/index.ts";
import { closedLoop, median } from "../lib/measure.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Scenario } from "../lib/types.ts";

const IN_FLIGHT = 32;
/** Pairs of short turns: whatever else the machine does meets both alike. */
const PAIRS = 8;
const SHORTEST_TURN_MS = 500;

class Reader extends MetricReader {
  protected async onForceFlush(): Promise<void> {}
  protected async onShutdown(): Promise<void> {}
}

export const telemetryScenarios: readonly Scenario[] = [
  {
    name: "telemetry-32",
    title: "Commits of one event, 32 in flight, with metrics and spans and without",
    alone: true,
    rows: () => [
      {
        id: "telemetry-32",
        label: "throughput lost to act-drizzle/telemetry, 32 in flight",
        metric: "lostPercent",
        unit: "%",
        better: "less",
        must: { atMost: 3 },
        goal: "≤ 3 %",
      },
    ],
    prepare: async (bench, subject) => {
      const { store } = await openFresh(bench, subject);
      let turn = 0;
      const rate = async (millis: number) => {
        turn++;
        const commit = (caller: number, n: number) => store.commit(`c-${turn}-${caller}`, [message(n)], META);
        return (await closedLoop(IN_FLIGHT, millis, commit, millis / 5)).latencies.length;
      };
      const millis = Math.max(SHORTEST_TURN_MS, bench.millis / 4);
      const withTelemetry = async () => {
        const stop = instrument(store, {
          meterProvider: new MeterProvider({ readers: [new Reader()] }),
          tracerProvider: new BasicTracerProvider(),
        });
        return rate(millis).finally(stop);
      };
      context.setGlobalContextManager(new AsyncContexts());
      await withTelemetry();
      const run = async () => {
        const lost: number[] = [];
        for (let pair = 0; pair < PAIRS; pair++) {
          const first = pair % 2 === 0 ? await rate(millis) : undefined;
          const on = await withTelemetry();
          const off = first ?? (await rate(millis));
          lost.push(100 * (1 - on / off));
        }
        return { lostPercent: median(lost) };
      };
      return {
        run,
        close: async () => {
          context.disable();
          await store.dispose();
        },
      };
    },
  },
];
