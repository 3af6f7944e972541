/**
 * What the wrappers of act-drizzle/projections cost. The baseline is the same by hand: one upsert in a transaction, which
 * is at least once; and a wait that looks at the watermark every 10 ms.
 */
import type { Store } from "@rotorsoft/act";
import { act, InMemoryCache, state } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { z } from "zod";
import { PostgresStore } from "../../src/index.ts";
import { actPositions, exactlyOnce, progressOf } from "../../src/projections/index.ts";
import { ACTOR } from "../lib/app.ts";
import { closedLoop, loopMetrics, percentile } from "../lib/measure.ts";
import type { Bench, Row, Scenario, Subject } from "../lib/types.ts";

const LOOK_MS = 10;

/** A database with a counter and the positions, and a handler that counts, by hand or wrapped. */
async function counting({ url, freshSchema, admin }: Bench, wrapped: boolean, max: number) {
  const name = await freshSchema();
  await admin.unsafe(`create schema if not exists "${name}";
    create table "${name}".counters (stream text primary key, total int not null);
    create table "${name}".act_positions (projection text not null, target text not null, at bigint not null default -1,
      handlers text[], generation int not null default 0, since timestamptz not null default now());
    create unique index on "${name}".act_positions (projection, target)`);
  const counters = pgSchema(name).table("counters", {
    stream: text("stream").primaryKey(),
    total: integer("total").notNull(),
  });
  const pool = new pg.Pool({ connectionString: url, max });
  const db = drizzle(pool);
  type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];
  const count = (tx: Tx, stream: string) =>
    tx
      .insert(counters)
      .values({ stream, total: 1 })
      .onConflictDoUpdate({ target: counters.stream, set: { total: sql`${counters.total} + 1` } });
  const once = exactlyOnce({ db, projection: "counts", positions: actPositions({ schema: name }) });
  const handler = wrapped
    ? once.do(async (_: { id: number }, tx, stream) => void (await count(tx, stream)))
    : (_: { id: number }, stream: string) => db.transaction(async (tx) => void (await count(tx, stream)));
  return { handler, close: () => pool.end() };
}

function once(inFlight: number): Scenario {
  const name = `exactly-once-${inFlight}`;
  return {
    name,
    title: "A handler with one upsert on node-postgres: exactlyOnce, and the same transaction by hand",
    rows: () => [
      {
        id: name,
        label: `handler with one upsert, exactly once (baseline: at least once, by hand), ${inFlight} in flight`,
        metric: "perSecond",
        unit: "events/s",
        better: "more",
      },
    ],
    prepare: async (bench, subject) => {
      const { handler, close } = await counting(bench, subject.id === "act-drizzle", inFlight);
      let id = 0;
      return {
        run: async () =>
          loopMetrics(
            await closedLoop(inFlight, bench.millis, (caller) => handler({ id: ++id }, `t${caller}`)),
          ),
        close,
      };
    },
  };
}

const Amount = z.object({ amount: z.number() });
const Account = state({ Account: z.object({}) })
  .init(() => ({}))
  .emits({ Deposited: Amount })
  .patch({ Deposited: () => ({}) })
  .on({ deposit: Amount })
  .emit("Deposited")
  .build();

const build = (store: Store, onEvent: (id: number) => void, drain: boolean) =>
  act()
    .withState(Account)
    .on("Deposited")
    .do(async function note({ id }) {
      onEvent(id);
    })
    .to("notes")
    .build({ scoped: { store, cache: new InMemoryCache() }, settleDebounceMs: 0, drain });

/** Looks at the watermark until it is there, as an app does by hand. */
async function look(store: Store, id: number): Promise<void> {
  for (let at = -1; ; ) {
    await store.query_streams(
      (position) => {
        at = position.at;
      },
      {
        stream: "notes",
        stream_exact: true,
      },
    );
    if (at >= id) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const rows: Row[] = [
  {
    id: "caught-up-p50",
    label: "end of the handler → caughtUp() resolves (baseline: a look every 10 ms), p50",
    metric: "p50",
    unit: "ms",
    better: "less",
    must: { atMost: 5 },
    goal: "≤ 5 ms",
  },
  {
    id: "caught-up-p99",
    label: "end of the handler → caughtUp() resolves (baseline: a look every 10 ms), p99",
    metric: "p99",
    unit: "ms",
    better: "less",
  },
];

const caughtUp: Scenario = {
  name: "caught-up",
  title: "From the end of a handler to the end of the wait for it, across two stores, 1 in flight",
  rows: () => rows,
  prepare: async ({ url, freshSchema, millis }: Bench, subject: Subject) => {
    const options = { url, schema: await freshSchema(), notify: true };
    const [own, other] = [new PostgresStore(options), new PostgresStore(options)];
    await own.seed();
    const handled = new Map<number, number>();
    // Act loses a wake that comes while it correlates, and would rest until the next event: it is woken again and again.
    const { notify } = other;
    let wake: Parameters<NonNullable<typeof notify>>[0] = () => {};
    const listen: typeof notify = async (handler) => {
      wake = handler;
      return (await notify?.(handler)) ?? (async () => {});
    };
    Object.assign(other, { notify: listen });
    const looking = setInterval(() => wake({ stream: "", events: [{ id: 0, name: "Deposited" }] }), 100);
    looking.unref();
    const worker = build(other, (id) => void handled.set(id, performance.now()), true);
    const writer = build(own, () => {}, false);
    const announcing = progressOf({ app: worker, store: other });
    announcing.announce();
    const progress = progressOf({ app: writer, store: own });
    // Hears of commits only once it is settled.
    await new Promise<void>((resolve) => {
      worker.on("settled", () => resolve());
      worker.settle();
    });
    const wait = subject.id === "act-drizzle";
    return {
      run: async () => {
        const latencies: number[] = [];
        await closedLoop(1, millis, async (_, turn) => {
          const snapshots = await writer.do(
            "deposit",
            { stream: `a${turn % 10}`, actor: ACTOR },
            { amount: 1 },
          );
          const id = snapshots.at(-1)?.event?.id ?? -1;
          if (wait) await progress.caughtUp(["notes"], snapshots, { timeout: 10_000 });
          else await look(own, id);
          latencies.push(performance.now() - (handled.get(id) ?? Number.NaN));
        });
        return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
      },
      close: async () => {
        clearInterval(looking);
        await Promise.all([worker.shutdown(), writer.shutdown()]);
        await Promise.all([progress.dispose(), announcing.dispose()]);
        await Promise.all([own.dispose(), other.dispose()]);
      },
    };
  },
};

export const projectionScenarios: readonly Scenario[] = [once(1), once(8), caughtUp];
