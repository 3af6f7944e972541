/**
 * Every backend is terminated again and again while commits, claims and queries run. postgres.js 3.4.9 loses
 * queries, continues transactions on a new connection and crashes the process when backends die; whether the
 * layer before it keeps the promises all the same is what this looks at. A server that dies as a whole, with
 * what it had not written, is not covered here (see listener.test.ts and test/server for restarts).
 */
import type { Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { connect } from "../support/database.ts";
import { Ledger } from "./ledger.ts";
import { meta, useScene } from "./scene.ts";

const scene = useScene();
const STORM = 5_000;
const MAX = 5;

const headOf = async (store: PostgresStore, stream: string) =>
  (await store.query_stats([stream])).get(stream)?.head.version ?? -1;

/** One client that runs until the storm is over. */
type Client = (store: PostgresStore, ledger: Ledger, k: number) => Promise<unknown>;

/** Alone on its stream and always guarded: it may lose to nobody but the connection. */
const alone: Client = async (store, ledger, k) => {
  const head = await ledger.attempt(() => headOf(store, `own-${k}`));
  if (head === undefined) return;
  for (let version = head; version < head + 20; version++)
    if (!(await ledger.commit(store, `own-${k}`, version))) return;
};

/** Many on one stream: conflicts beside failures. */
const contended: Client = async (store, ledger) => {
  const head = await ledger.attempt(() => headOf(store, "shared"));
  if (head !== undefined) await ledger.commit(store, "shared", head);
};

const unguarded: Client = (store, ledger, k) => ledger.commit(store, `any-${k % 2}`);

/** What was acknowledged before a query began is in its answer, in order of id. */
const reader: Client = async (store, ledger) => {
  const before = [...ledger.acknowledged].slice(-50);
  const seen = new Set<string>();
  let last = 0;
  const count = await ledger.attempt(() =>
    store.query<Schemas>(({ id, name }) => {
      if (id <= last) ledger.untyped.push(new Error(`event ${id} came after ${last}`));
      last = id;
      seen.add(name);
    }),
  );
  const missing = before.filter((token) => !seen.has(token));
  if (count !== undefined && missing.length > 0) ledger.untyped.push(new Error(`${missing} not found`));
};

/** Claims, and acks what it holds; a lease that was lost with its connection expires. */
const worker: Client = async (store, ledger, k) => {
  await ledger.attempt(() => store.subscribe([{ stream: `t-${k}`, correlated_at: 1_000_000 }]));
  const leases = await ledger.attempt(() => store.claim(3, 1, `w-${k}`, 300));
  if (leases) await ledger.attempt(() => store.ack(leases.map((lease) => ({ ...lease, at: lease.at + 1 }))));
};

async function killUntil(over: () => boolean): Promise<{ kills: number; peaks: Map<string, number> }> {
  const sql = connect(scene.url);
  const peaks = new Map<string, number>();
  let kills = 0;
  while (!over()) {
    const killed = await sql<{ application: string }[]>`
      select application_name as application, pg_terminate_backend(pid) from pg_stat_activity
      where application_name like ${scene.application("t%")}`;
    kills += killed.length;
    for (const [application, rows] of Map.groupBy(killed, (row) => row.application))
      peaks.set(application, Math.max(peaks.get(application) ?? 0, rows.length));
    // Between two blows the stores must get to work, or nothing is proved.
    await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 200));
  }
  await sql.end();
  return { kills, peaks };
}

test("five seconds of killed backends lose no acknowledged commit, and apply none that failed", async () => {
  const limits = { max: MAX, statement_timeout: 3_000, connectionTimeoutMillis: 3_000 };
  const options = { ...limits, table: "storm", notify: true };
  const stores = [await scene.seeded(options), await scene.seeded(options)];
  const heard: string[] = [];
  await stores[0]?.notify?.(({ events }) => heard.push(...events.map(({ name }) => name)));
  const ledger = new Ledger();
  const end = performance.now() + STORM;
  const over = () => performance.now() > end;
  const run = async (client: Client, store: PostgresStore, k: number) => {
    while (!over()) await client(store, ledger, k);
  };
  const clients = [alone, alone, contended, contended, unguarded, reader, worker, worker];
  const running = clients.flatMap((client, k) =>
    stores.map((store, s) => run(client, store, k * stores.length + s)),
  );
  const { kills, peaks } = await killUntil(over);
  await Promise.all(running);

  expect(ledger.untyped).toEqual([]);
  expect(kills).toBeGreaterThan(20);
  expect(ledger.acknowledged.size).toBeGreaterThan(50);
  // Longer than both limits together, and an operation has hung.
  expect(ledger.slowest).toBeLessThan(15_000);
  // The listener's connection comes on top of `max`.
  for (const [application, peak] of peaks) expect(peak, application).toBeLessThanOrEqual(MAX + 1);

  const rows = await scene.rows(stores[0] as PostgresStore);
  const times = Map.groupBy(rows, ({ name }) => name);
  expect([...ledger.acknowledged].filter((token) => times.get(token)?.length !== 1)).toEqual([]);
  expect([...ledger.failed].filter((token) => times.has(token))).toEqual([]);
  expect([...ledger.unknown].filter((token) => (times.get(token)?.length ?? 0) > 1)).toEqual([]);
  for (const [stream, events] of Map.groupBy(rows, (row) => row.stream))
    expect(
      events.map(({ version }) => version),
      stream,
    ).toEqual(events.map((_, version) => version));

  // And afterwards all is as if nothing had been.
  for (const store of stores) {
    const version = await headOf(store, "after");
    expect(await store.commit("after", [{ name: "Calm", data: {} }], meta, version)).toHaveLength(1);
    expect(await store.query(() => {}, { stream: "after", stream_exact: true })).toBe(version + 2);
  }
  await expect.poll(() => heard, { timeout: 15_000 }).toContain("Calm");
});
