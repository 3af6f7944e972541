/** How often each verb waits for the network, counted behind a proxy that adds latency. */
import type { Lease } from "@rotorsoft/act";
import { fillEvents, streamName } from "../lib/data.ts";
import { latencyProxy } from "../lib/latency-proxy.ts";
import { median } from "../lib/measure.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Row, Scenario } from "../lib/types.ts";

const DELAY_MS = 10;
const TURNS = 12;
const BY = "11111111-2222-4333-8444-555555555555";

const PUBLISHED: Readonly<Record<string, string>> = {
  commit: "2",
  load: "1",
  subscribe: "4–7",
  claim: "3",
  ack: "3",
  block: "3",
  "ack([])": "",
  "block([])": "",
};

const rowOf = (verb: string): Row => ({
  id: `trips-${verb}`,
  label: `round trips: ${verb}`,
  metric: verb,
  unit: "",
  better: "less",
  must: { atMost: verb.endsWith("([])") ? 0 : 1 },
  goal: verb.endsWith("([])") ? "0" : "1",
  published: PUBLISHED[verb],
});

export const roundTrips: Scenario = {
  name: "round-trips",
  title: "Round trips of each verb, on warm connections",
  rows: () => Object.keys(PUBLISHED).map(rowOf),
  prepare: async (bench, subject) => {
    const { store: direct, schema } = await openFresh(bench, subject);
    await direct.dispose();
    await fillEvents(bench.admin, { schema, streams: 10, perStream: 10 });
    const proxy = await latencyProxy(bench.url, DELAY_MS);
    // One connection per purpose, so that every one is warm after the first turns.
    const store = await subject.open({ url: proxy.url, schema, max: 2 });
    const counted: Record<string, number[]> = {};
    const count = async <T>(verb: string, op: () => Promise<T>): Promise<T> => {
      proxy.take();
      const result = await op();
      counted[verb]?.push(proxy.take());
      return result;
    };
    const granted = (leases: readonly Lease[]) => {
      if (leases.length === 0) throw new Error("Nothing was leased: the count would be of an idle claim");
      return leases;
    };
    let round = 0;
    return {
      run: async () => {
        round++;
        for (const verb of Object.keys(PUBLISHED)) counted[verb] = [];
        for (let turn = 0; turn < TURNS; turn++) {
          const mark = Date.now() % 1_000_000_000;
          const target = (n: number) => ({
            stream: `t-${round}-${turn}-${n}`,
            source: "s-00001",
            correlated_at: mark + turn,
          });
          await count("commit", () => store.commit(`c-${round}-${turn}`, [message(turn)], META));
          await count("load", () =>
            store.query(() => {}, { stream: streamName(1), stream_exact: true, with_snaps: true }),
          );
          await count("subscribe", () => store.subscribe([target(1), target(2)], turn));
          const leases = await count("claim", () => store.claim(1, 1, BY, 10_000));
          const [first, ...others] = granted(leases);
          if (!first) continue;
          await count("block", () => store.block([{ ...first, error: "counted" }]));
          await count("ack", () =>
            store.ack([first, ...others].map((lease) => ({ ...lease, at: mark + turn }))),
          );
          await count("ack([])", () => store.ack([]));
          await count("block([])", () => store.block([]));
        }
        return Object.fromEntries(Object.entries(counted).map(([verb, trips]) => [verb, median(trips)]));
      },
      close: async () => {
        await store.dispose();
        await proxy.close();
      },
    };
  },
};
