/** Stores that share the connections of a PostgresDatabase: how many there are, who gets them, and who ends them. */
import { inspect } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { ConnectionError, PostgresDatabase, PostgresStore } from "../../src/index.ts";
import { inline } from "../../src/projections/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { failureCode, Tenants } from "./fixture.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);
const url = "postgres://ada:secret@db.example:6432/shop";

test("many stores have no more connections than their database", async () => {
  const database = tenants.database({ max: 5 });
  const stores = await tenants.stores(database, 30);
  let peak = 0;
  let done = false;
  const watching = (async () => {
    while (!done) peak = Math.max(peak, (await tenants.connections(database)).length);
  })();
  await Promise.all(
    stores.flatMap((store) => [
      store.commit("s", [event()], meta),
      store.query(() => {}),
      store.claim(1, 1, "w", 10),
      store.subscribe([{ stream: "s", correlated_at: 1 }]),
      store.query_stats({}),
    ]),
  );
  done = true;
  await watching;
  expect(peak).toBeGreaterThan(1);
  expect(peak).toBeLessThanOrEqual(5);
});

test.each([1, 2])("max: %i is enough for several stores", async (max) => {
  const database = tenants.database({ max });
  const stores = await tenants.stores(database, 4);
  await Promise.all(stores.map((store) => store.commit("s", [event()], meta)));
  for (const store of stores) expect(await store.query(() => {})).toBe(1);
  expect((await tenants.connections(database)).length).toBeLessThanOrEqual(max);
});

test("a store whose append lock is held does not keep others from committing", async () => {
  const database = tenants.database({ max: 4, writers: 2 });
  const [held, ...others] = await tenants.stores(database, 4);
  if (!held) throw new Error("there are four");
  const hold = await fixture.hold(held);
  const waiting = held.commit("s", [event()], meta);
  await eventually(async () => (await fixture.sql`select from pg_locks where not granted`).length > 0);
  await Promise.all(others.map((store) => store.commit("s", [event()], meta)));
  await hold.release();
  await expect(waiting).resolves.toHaveLength(1);
});

test("a busy store does not keep a quiet one waiting", async () => {
  const database = tenants.database({ max: 2, writers: 1 });
  const [busy, quiet] = await tenants.stores(database, 2);
  if (!busy || !quiet) throw new Error("there are two");
  const order: string[] = [];
  const read = (store: PostgresStore, name: string) => store.query(() => {}).then(() => order.push(name));
  const many = Array.from({ length: 50 }, () => read(busy, "busy"));
  await Promise.all([...many, read(quiet, "quiet")]);
  // Its call came last, and is the second or third: the owners take turns.
  expect(order.indexOf("quiet")).toBeLessThan(4);
});

test("a store is disposed of alone, and waits for its own calls", async () => {
  const database = tenants.database();
  const [first, second] = await tenants.stores(database, 2);
  if (!first || !second) throw new Error("there are two");
  const commits = Array.from({ length: 20 }, (_, n) => first.commit(`s${n}`, [event()], meta));
  await first.dispose();
  expect(await Promise.all(commits)).toHaveLength(20);
  expect(await failureCode(first.query(() => {}))).toBe("STORE_CLOSED");
  expect(await second.commit("s", [event()], meta)).toHaveLength(1);
  expect(database.stores).toBe(1);
  await second.dispose();
  expect(database.stores).toBe(0);
  // The last one has closed nothing: the next one finds idle connections.
  expect(database.connections.idle).toBeGreaterThan(0);
  const third = await tenants.store(database);
  await third.commit("s", [event()], meta);
});

test("dispose() of the database ends its stores, and closes every connection", async () => {
  const database = tenants.database();
  const [store, other] = await tenants.stores(database, 2, { notify: true });
  if (!store || !other) throw new Error("there are two");
  await store.notify?.(() => {});
  const commit = other.commit("s", [event()], meta);
  await Promise.all([database.dispose(), database.dispose()]);
  expect(await commit).toHaveLength(1);
  expect(await failureCode(store.query(() => {}))).toBe("STORE_CLOSED");
  expect(() => new PostgresStore({ database })).toThrow(ConnectionError);
  await tenants.gone(database);
});

test.each(["restore", "an inline projection"])(
  "dispose() of the database that %s calls is refused, and changes nothing",
  async (caller) => {
    const database = tenants.database({ max: 4 });
    const refused: unknown[] = [];
    const disposing = async () => void refused.push(await failureCode(database.dispose()));
    const on = { A: disposing };
    const [store, other] = await tenants.stores(database, 2, {
      inline: inline({ events: { A: z.unknown() }, on }),
    });
    if (!store || !other) throw new Error("there are two");
    if (caller === "restore") await store.restore(disposing);
    else await store.commit("s", [event("A")], meta);
    expect(refused).toEqual([caller === "restore" ? "IN_RESTORE" : "IN_PROJECTION"]);
    for (const one of [store, other]) await one.commit("t", [event()], meta);
    await database.dispose();
    await tenants.gone(database);
  },
);

test.each([
  ["max", 5],
  ["url", url],
  ["host", "db.example"],
  ["password", "secret"],
  ["ssl", true],
  ["statement_timeout", 0],
  ["prepare", false],
  ["listen_url", url],
  ["application_name", "x"],
  ["onConnect", () => {}],
])("a store that shares connections refuses the option %s", (name, value) => {
  const database = new PostgresDatabase({ url });
  const refused = () => new PostgresStore({ database, schema: "a", [name]: value });
  expect(refused).toThrow(TypeError);
  expect(refused).toThrow(`option "${name}": this store shares the connections of its database`);
});

test("all refused options are named at once, and no value is shown", () => {
  const database = new PostgresDatabase({ url });
  const options = { database, max: 5, password: "geheim" };
  expect(() => new PostgresStore(options)).toThrow('options "password", "max"');
  expect(() => new PostgresStore(options)).not.toThrow("geheim");
});

test.each([
  ["schema", "a"],
  ["notify", true],
  ["pii_encryption", { key: Buffer.alloc(32) }],
])("a database refuses the option %s of a store", (name, value) => {
  expect(() => new PostgresDatabase({ url, [name]: value })).toThrow(
    `option "${name}": it belongs to a store`,
  );
});

test("a database refuses a schema in its URL, and another database", () => {
  expect(() => new PostgresDatabase({ url: `${url}?schema=a` })).toThrow('option "schema"');
  const nested = { database: new PostgresDatabase({ url }) } as object;
  expect(() => new PostgresDatabase(nested)).toThrow("it belongs to a store");
});

test.each([{ writers: 0 }, { writers: 1.5 }, { maxPrepared: 0 }, { writers: 20 }])(
  "a database refuses %j",
  (options) => {
    expect(() => new PostgresDatabase({ url, ...options })).toThrow(`option "${Object.keys(options)[0]}"`);
  },
);

test("options of a store count, and those of the connections are the database's", () => {
  const database = new PostgresDatabase({ url, max: 7 });
  const store = new PostgresStore({ database, schema: "a", table: "log", notify: true, dates: "revive" });
  onTestFinished(() => store.dispose());
  expect(store.config).toMatchObject({
    host: "db.example",
    port: 6432,
    database: "shop",
    user: "ada",
    max: 7,
    schema: "a",
    table: "log",
    notify: true,
    dates: "revive",
  });
  expect(database.config).toMatchObject({ max: 7, writers: 3, maxPrepared: 256, maxStores: 250 });
});

test("nothing shows the password", () => {
  const database = new PostgresDatabase({ url });
  const store = new PostgresStore({ database });
  for (const shown of [inspect(database), JSON.stringify(database), inspect(store), JSON.stringify(store)])
    expect(shown).not.toContain("secret");
  expect(database.config.password).toBe("secret");
});

test("a spread config makes another store on the same connections", async () => {
  const database = tenants.database();
  const store = await tenants.store(database);
  const other = new PostgresStore({ ...store.config, table: "other" });
  await other.seed();
  await other.commit("s", [event()], meta);
  expect(database.stores).toBe(2);
  expect(await store.query(() => {})).toBe(0);
});

test("a restore may read from its store, whose calls it would else wait for", async () => {
  const database = tenants.database({ max: 3, writers: 1 });
  const store = await tenants.store(database);
  await store.commit("s", [event(), event()], meta);
  await store.restore(async (insert) => {
    const events: Parameters<typeof insert>[0][] = [];
    await store.query((found) => void events.push(found));
    for (const found of events) await insert(found);
  });
  expect(await store.query(() => {})).toBe(2);
});
