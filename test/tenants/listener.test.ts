/** The one connection that listens for all stores of a database. */
import { expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { failureCode, Tenants } from "./fixture.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);

/** Another process, as it were: it commits to the tables of a store. */
const beside = ({ config }: PostgresStore) =>
  new PostgresStore({
    database: tenants.database(),
    schema: config.schema,
    table: config.table,
    notify: true,
  });

test("it is opened for the first, and closed after the last", async () => {
  const database = tenants.database();
  const [first, second] = await tenants.stores(database, 2, { notify: true });
  if (!first || !second) throw new Error("there are two");
  expect(await tenants.listening(database)).toEqual([]);
  const stop = await first.notify?.(() => {});
  const stopSecond = await second.notify?.(() => {});
  const [pid] = await tenants.listening(database);
  expect(pid).toBeDefined();
  await stop?.();
  expect(await tenants.listening(database)).toEqual([pid]);
  await stopSecond?.();
  await eventually(async () => (await tenants.listening(database)).length === 0);
  await first.notify?.(() => {});
  expect(await tenants.listening(database)).toHaveLength(1);
});

test("after it was killed each store listens again, and hears what it missed", async () => {
  const database = tenants.database();
  const stores = await tenants.stores(database, 3, { notify: true });
  const received = stores.map(() => new Set<string>());
  await Promise.all(stores.map((store, n) => store.notify?.(({ stream }) => received[n]?.add(stream))));
  const others = stores.map(beside);
  const [pid] = await tenants.listening(database);
  await fixture.sql`select pg_terminate_backend(${pid ?? 0}::int)`;
  await Promise.all(others.map((store) => store.commit("missed", [event()], meta)));
  await eventually(() => received.every((streams) => streams.has("missed")));
  await Promise.all(others.map((store) => store.commit("later", [event()], meta)));
  await eventually(() => received.every((streams) => streams.has("later")));
  expect(await tenants.listening(database)).toHaveLength(1);
});

test("a store that has ended is not told of anything, the other one of the same tables is", async () => {
  const database = tenants.database();
  const first = await tenants.store(database, { notify: true });
  const second = new PostgresStore({ database, schema: first.config.schema, notify: true });
  const received: string[] = [];
  await first.notify?.(() => received.push("first"));
  await second.notify?.(() => received.push("second"));
  await first.dispose();
  await beside(first).commit("s", [event()], meta);
  await eventually(() => received.length > 0);
  expect(received).toEqual(["second"]);
});

test("many stores that begin to listen at once share one connection", async () => {
  const database = tenants.database();
  const stores = await tenants.stores(database, 10, { notify: true });
  const stops = await Promise.all(stores.map((store) => store.notify?.(() => {})));
  expect(await tenants.listening(database)).toHaveLength(1);
  await Promise.all(stops.map((stop) => stop?.()));
  await eventually(async () => (await tenants.listening(database)).length === 0);
});

test("where LISTEN cannot start, each of them is told, and nothing is left", async () => {
  const database = tenants.database({ listen_url: "postgres://nobody:x@127.0.0.1:1/nothing" });
  const stores = await tenants.stores(database, 3, { notify: true });
  const codes = await Promise.all(stores.map((store) => failureCode(store.notify?.(() => {}))));
  expect(codes).toEqual(["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"]);
  await Promise.all(stores.map((store) => store.commit("s", [event()], meta)));
});
