/** A call of every verb that asks the database something. */
import type { PostgresStore } from "../../src/index.ts";

export type Calls = Readonly<Record<string, () => Promise<unknown>>>;

const lease = { stream: "s", at: 1, by: "w", retry: 0, lagging: true };
const created = new Date(1_000);

/** `mark` stands wherever a caller puts data of its own. */
export function everyVerb(store: PostgresStore, mark = "mark"): Calls {
  const meta = { correlation: mark, causation: { action: { name: mark } } } as never;
  const event = { name: "Called", data: { mark, [mark]: 1 }, pii: { mark, [mark]: 1 } };
  return {
    commit: () => store.commit("s", [event], meta),
    query: () => store.query(() => {}),
    query_stats: () => store.query_stats(["s"], { count: true, tail: true }),
    query_streams: () => store.query_streams(() => {}),
    truncate: () => store.truncate([{ stream: "s", snapshot: { mark, [mark]: 1 }, meta }]),
    restore: () =>
      store.restore(async (insert) => {
        await insert({ ...event, id: 1, stream: "s", version: 0, created, meta });
      }),
    forget_pii: () => store.forget_pii("s"),
    subscribe: () => store.subscribe([{ stream: "s", source: "s", correlated_at: 1 }], 1),
    claim: () => store.claim(1, 1, "w", 10),
    ack: () => store.ack([lease]),
    block: () => store.block([{ ...lease, error: mark }]),
    defer: () => store.defer(["s"], 1),
    reset: () => store.reset(["s"]),
    unblock: () => store.unblock(["s"]),
    prioritize: () => store.prioritize({ stream: "s" }, 1),
  };
}
