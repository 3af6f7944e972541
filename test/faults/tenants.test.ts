/**
 * Every connection that several tenants share is ended again and again while all of them commit, read and claim. A commit
 * whose connection is lost may wait for its outcome while another tenant's commits go out on the next connection: nothing may
 * be lost or doubled, and no event may appear in the log of another tenant.
 */
import { expect, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { Tenants } from "../tenants/fixture.ts";
import { alone, type Client, contended, load, loadOf, reader, unguarded, worker } from "./kit/clients.ts";
import { FaultRun } from "./kit/fault-run.ts";
import { Ledger } from "./kit/ledger.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);
const STORM = scale(3_000, 60_000);
const CALM = 150;
const MAX = 6;
const TENANTS = 5;
const LIMITS = {
  max: MAX,
  writers: 2,
  maxPrepared: 12,
  statement_timeout: 5_000,
  connectionTimeoutMillis: 5_000,
};
const DEADLINE = 40_000;
const CLIENTS: readonly Client[] = [alone, contended, unguarded, reader, worker];

test("killed connections of several tenants lose nothing, double nothing, and mix nothing up", {
  timeout: TIMEOUT,
}, async () => {
  const fault = `every connection that ${TENANTS} tenants share ended each ${CALM} ms`;
  const faultRun = new FaultRun({ item: 1, fault, deadline: DEADLINE });
  const database = tenants.database(LIMITS);
  const stores = await tenants.stores(database, TENANTS, { notify: true });
  const received = stores.map(() => new Set<string>());
  await Promise.all(stores.map((store, n) => store.notify?.(({ stream }) => received[n]?.add(stream))));
  // A ledger each: what is in one log must be known to its own.
  const ledgers = stores.map((_, n) => (n === 0 ? faultRun.ledger : new Ledger({ deadline: DEADLINE })));
  const end = performance.now() + STORM;
  const over = () => performance.now() > end;
  let kills = 0;
  let peak = 0;
  const killing = async () => {
    while (!over()) {
      const killed = await tenants.kill(database);
      kills += killed;
      peak = Math.max(peak, killed);
      // The time between two strikes.
      await new Promise((resolve) => setTimeout(resolve, CALM * (0.5 + Math.random())));
    }
  };
  const busy = stores.map((store, n) => load(ledgers[n] ?? faultRun.ledger, [store], over, CLIENTS));
  await Promise.all([killing(), ...busy]);

  // All work again, by no more connections than they may have.
  await eventually(async () => {
    await Promise.all(stores.map((store) => store.query(() => {}, { limit: 1 })));
    return true;
  });
  expect((await tenants.connections(database)).length).toBeLessThanOrEqual(MAX + 1);
  for (const [n, ledger] of ledgers.entries()) {
    const tokens = await tokensOf(stores[n]?.config.schema ?? "");
    const known = new Set([...ledger.acknowledged.keys(), ...ledger.failed.keys(), ...ledger.unknown.keys()]);
    expect(tokens.filter((token) => !known.has(token))).toEqual([]);
    if (ledger !== faultRun.ledger) expect((await ledger.verify(fixture.url)).damage).toEqual([]);
    expect(ledger.acknowledged.size).toBeGreaterThan(0);
  }
  await faultRun.conclude(fixture.url, { load: loadOf(stores, CLIENTS), injected: kills });
  expect(kills).toBeGreaterThan(10);
  // The listener's connection comes on top of `max`.
  expect(peak).toBeLessThanOrEqual(MAX + 1);
  // Whoever listens still hears of what another process commits.
  const other = tenants.database();
  const { PostgresStore } = await import("../../src/index.ts");
  const beside = stores.map(
    ({ config }) => new PostgresStore({ database: other, schema: config.schema, notify: true }),
  );
  await Promise.all(
    beside.map((store) =>
      store.commit("calm", [{ name: "Calm", data: {} }], { correlation: "calm", causation: {} }),
    ),
  );
  await eventually(() => received.every((streams) => streams.has("calm")), { within: 15_000 });
});

async function tokensOf(schema: string): Promise<string[]> {
  const sql = connect(fixture.url);
  try {
    const rows = await sql<{ token: string }[]>`
      select distinct data ->> 'token' as token from ${sql(schema)}.events where data ? 'token'`;
    return rows.map(({ token }) => token);
  } finally {
    await sql.end();
  }
}
