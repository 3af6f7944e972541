/**
 * A process that keeps four read models of one log: an event at a time for one target and for a target per stream, in
 * batches, and by folded state. It dies by SIGKILL at the step that it is told, or lives until it is ended.
 */
import { act, InMemoryCache, projection, type Store, type StoreNotification } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { drizzle as drizzlePg } from "drizzle-orm/node-postgres";
import { drizzle as drizzleJs } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import { PostgresStore } from "../../../src/index.ts";
import { exactlyOnce } from "../../../src/projections/index.ts";
import { Account, Deposited } from "../../framework/account.ts";
import { counters, folds, PREFIXES } from "./read-models.ts";
import type { Step } from "./steps.ts";

export type WorkerOptions = {
  readonly log: { readonly url: string; readonly table: string };
  readonly readModels: string;
  readonly driver: "postgres.js" | "node-postgres";
  readonly leaseMillis: number;
  /**
   * Doubles the lease when one was lost before its acknowledgement. On a busy machine a watermark would else never move:
   * the events were handled, are delivered again, and no handler is called any more.
   */
  readonly patient?: boolean;
  /** Events that a target gets at a time: 5. */
  readonly eventLimit?: number;
  /** The `nth` time that it comes to `step`, it is killed. */
  readonly stop?: { readonly step: Step; readonly nth: number };
  /** How long handlers take at most, in ms. */
  readonly handlerMillis?: number;
  /** How many of 100 handlers throw after they have written. */
  readonly throwing?: number;
};

/** A dead worker's lease is waited for: it grows to this many times what it was, at most. */
const MOST_PATIENT = 32;

const options: WorkerOptions = JSON.parse(process.argv[2] ?? "{}");
const { log, readModels, driver, eventLimit = 5, patient = false } = options;
const { stop, handlerMillis = 0, throwing = 0 } = options;
let { leaseMillis } = options;

let passed = 0;
/** Whether the process is to end here. */
const isLast = (step: Step) => step === stop?.step && ++passed === stop.nth;
const reach = (step: Step) => {
  if (isLast(step)) process.kill(process.pid, "SIGKILL");
};
/** Ends when what has just been written is on its way, and before an answer can be read. */
const reachSoon = (step: Step) => {
  if (isLast(step)) setImmediate(() => process.kill(process.pid, "SIGKILL"));
};

function openPg() {
  const pool = new pg.Pool({ connectionString: readModels, max: 6, application_name: "read-models" });
  // Without this a connection that is lost while it is idle ends the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => {
    client.on("error", () => {});
    const query = client.query;
    const watched = (...args: unknown[]) => {
      const [text] = args;
      const answer: unknown = Reflect.apply(query, client, args);
      const said = typeof text === "object" && text !== null && "text" in text ? text.text : text;
      if (said === "commit") reachSoon("committing");
      return answer;
    };
    Object.assign(client, { query: watched });
  });
  return drizzlePg(pool);
}

function openJs() {
  const client = postgres(readModels, {
    max: 6,
    onnotice: () => {},
    connection: { application_name: "read-models" },
    debug: (_, query) => {
      if (query === "commit") reachSoon("committing");
    },
  });
  return drizzleJs(client);
}

const db = driver === "postgres.js" ? openJs() : openPg();
type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];

async function add(tx: Tx, prefix: string, stream: string, amount: number): Promise<void> {
  reach("positioned");
  await tx
    .insert(counters)
    .values({ stream: `${prefix}:${stream}`, total: amount, events: 1 })
    .onConflictDoUpdate({
      target: counters.stream,
      set: { total: sql`${counters.total} + excluded.total`, events: sql`${counters.events} + 1` },
    });
  reach("written");
  // The work that a handler does, for a SIGKILL to come in the middle of.
  if (handlerMillis > 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * handlerMillis));
  if (Math.random() * 100 < throwing) throw new Error("at random");
}

const { one, each, batch, state } = PREFIXES;
const once = (name: string) => exactlyOnce({ db, projection: name });

const perEvent = projection(one)
  .on({ Deposited })
  .do(once(one).do(({ stream, data }, tx) => add(tx, one, stream, data.amount)))
  .build();
const perStream = projection()
  .on({ Deposited })
  .do(once(each).do(({ stream, data }, tx) => add(tx, each, stream, data.amount)))
  .to(({ stream }) => ({ target: `${each}:${stream}`, source: stream }))
  .build();
const batched = projection(batch)
  .on({ Deposited })
  .do(async function unused() {})
  .batch(
    once(batch).batch(async (events, tx) => {
      for (const { stream, data } of events) await add(tx, batch, stream, data.amount);
    }),
  )
  .build();
const folded = projection(state)
  .of(Account)
  .flush(
    once(state).flush(async (rows, tx) => {
      for (const row of rows) {
        reach("positioned");
        const {
          stream,
          event_id,
          version,
          state: { balance },
        } = row;
        await tx
          .insert(folds)
          .values({ stream, balance, version, event_id })
          .onConflictDoUpdate({ target: folds.stream, set: { balance, version, event_id } });
        reach("written");
      }
    }),
  )
  .build();

let wake: (notification: StoreNotification) => void = () => {};
const real = new PostgresStore({ url: log.url, table: log.table, max: 4 });
type Subscribe = Parameters<Store["subscribe"]>;
/** The store, with a step before and after each verb of a drain. */
const stepped: Store = new Proxy<Store>(real, {
  get(target, property) {
    if (property === "notify")
      return async (handler: typeof wake) => {
        wake = handler;
        return async () => {};
      };
    if (property === "claim")
      return async (...args: Parameters<Store["claim"]>) => {
        const leases = await target.claim(...args);
        if (leases.length > 0) reach("claimed");
        return leases;
      };
    // The lease of a worker that was killed while it correlated lasts 5 s, in which nobody finds new work.
    if (property === "subscribe")
      return (streams: Subscribe[0], at: Subscribe[1], correlator: Subscribe[2]) =>
        target.subscribe(streams, at, correlator && { ...correlator, millis: options.leaseMillis });
    if (property === "query")
      return async (...args: Parameters<Store["query"]>) => {
        const found = await target.query(...args);
        if (found > 0) reach("fetched");
        return found;
      };
    if (property === "ack")
      return async (...args: Parameters<Store["ack"]>) => {
        if (args[0].length === 0) return target.ack(...args);
        reach("committed");
        const acking = target.ack(...args);
        reachSoon("acking");
        const acked = await acking;
        if (patient && acked.length < args[0].length)
          leaseMillis = Math.min(2 * leaseMillis, MOST_PATIENT * options.leaseMillis);
        reach("acked");
        return acked;
      };
    return Reflect.get(target, property);
  },
});

const app = act()
  .withState(Account)
  .withProjection(perEvent)
  .withProjection(perStream)
  .withProjection(batched)
  .withProjection(folded)
  .build({ scoped: { store: stepped, cache: new InMemoryCache() }, settleDebounceMs: 0 });
// A drain that finds nothing rests until an event wakes it; leases that run out wake nobody.
setInterval(() => {
  wake({ stream: "", events: [{ id: 0, name: "Deposited" }] });
  app.settle({ leaseMillis, eventLimit });
}, 10);
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
