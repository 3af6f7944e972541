/** dispose() carries out what was called before it, whatever that waits for. */
import { randomBytes } from "node:crypto";
import type { Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { gate, within } from "../conformance/kit/eventually.ts";
import { restorable } from "../conformance/kit/scenario.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const key = randomBytes(32);
const CLOSED = { name: "ERR_STORE", cause: { code: "STORE_CLOSED" } };

/** A store whose key provider answers once the gate is open. */
async function slowKey() {
  const { passed, open } = gate();
  const asked = gate();
  const provider = async () => {
    asked.open();
    await passed;
    return key;
  };
  const store = await fixture.seeded({ pii_encryption: { key: provider } });
  return { store, open, asked: asked.passed };
}

/** More events than query() reads in one page. */
async function manyEvents(over: object = {}): Promise<PostgresStore> {
  const store = await fixture.seeded(over);
  const { schema, table } = store.config;
  await fixture.sql`insert into ${fixture.sql(schema)}.${fixture.sql(table)} (name, data, stream, version, created, meta)
    select 'A', '{}', 's', n, now(), '{}' from generate_series(0, 2499) as n`;
  return store;
}

const names = async (store: PostgresStore) => (await fixture.rows(store)).map(({ name }) => name);

test("a commit that still waits for its pii key is carried out", async () => {
  const { store, open, asked } = await slowKey();
  const committed = store.commit("s", [{ ...event(), pii: { email: "a" } }], meta);
  await asked;
  const disposed = store.dispose();
  open();
  expect(await committed).toHaveLength(1);
  await disposed;
  expect(await names(store)).toEqual(["Happened"]);
});

test("commits in one stream are carried out in the order of their calls, the last ones before dispose too", async () => {
  const { store, open } = await slowKey();
  const commits = ["A", "B", "C"].map((name) => store.commit("s", [event(name)], meta));
  const disposed = store.dispose();
  open();
  await Promise.all([...commits, disposed]);
  expect(await names(store)).toEqual(["A", "B", "C"]);
});

test("a restore that still waits for its pii key is carried out", async () => {
  const { store, open, asked } = await slowKey();
  const restored = store.restore(async (insert) => void (await insert(restorable("s", 0))));
  await asked;
  const disposed = store.dispose();
  open();
  await Promise.all([restored, disposed]);
  expect(await names(store)).toHaveLength(1);
});

test("a query goes on to its last page", async () => {
  const store = await manyEvents();
  const { passed, open } = gate();
  const reached = gate();
  const counted = store.query(async () => {
    reached.open();
    await passed;
  });
  await reached.passed;
  const disposed = store.dispose();
  open();
  expect(await counted).toBe(2_500);
  await disposed;
});

test("a driver of restore reads from the same store after dispose was called, too", async () => {
  const store = await fixture.seeded({ max: 3 });
  await store.commit("s", [event("Kept"), event("Kept")], meta);
  const { passed, open } = gate();
  const started = gate();
  const restored = store.restore(async (insert) => {
    started.open();
    await passed;
    await store.query<Schemas>(async (read) => void (await insert(read)));
  });
  await started.passed;
  const disposed = store.dispose();
  open();
  await Promise.all([restored, disposed]);
  expect(await names(store)).toEqual(["Kept", "Kept"]);
});

test("dispose can be awaited in a query's callback: what that page holds is delivered", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event(), event()], meta);
  const counted = store.query(() => store.dispose());
  expect(await within(8_000, "the query", counted)).toBe(2);
});

test("a query that awaits dispose between two pages rejects with the next one", async () => {
  const store = await manyEvents();
  let seen = 0;
  const counted = store.query(async () => {
    if (seen++ === 0) await store.dispose();
  });
  const { error } = await within(8_000, "the query", failureOf(counted));
  expect(error).toMatchObject({ ...CLOSED, operation: "query" });
  expect(seen).toBe(2_000);
});

test("a commit that was called in time is carried out, one that is called after dispose is not, whatever its key", async () => {
  const { store, open } = await slowKey();
  const before = store.commit("s", [event("Before")], meta);
  const disposed = store.dispose();
  const after = failureOf(store.commit("s", [event("After")], meta));
  open();
  await Promise.all([before, disposed]);
  expect((await after).error).toMatchObject({ ...CLOSED, operation: "commit" });
  expect(await names(store)).toEqual(["Before"]);
});
