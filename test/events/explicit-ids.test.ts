/** Rows that came with ids of their own while the store runs, as an import or a switch-over brings them. */
import { expect, test } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** A store whose ids are about to meet rows that others have written at them. */
async function beforeForeignRows(count: number) {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await store.commit("own", [event()], meta);
  await fixture.sql.unsafe(`insert into "${schema}"."${table}" (id, stream, version, name, data, meta)
    select 1 + n, 'foreign', n - 1, 'Imported', '{}', '{}' from generate_series(1, ${count}) n`);
  return store;
}

test("commits go on behind them: none fails, and no id is given twice", async () => {
  const store = await beforeForeignRows(50);
  const first = await store.commit("own", [event()], meta, 0);
  expect(first).toMatchObject([{ id: 52, version: 1 }]);
  const all = await Promise.all(Array.from({ length: 20 }, (_, n) => store.commit(`s${n}`, [event()], meta)));
  const ids = all.flat().map(({ id }) => id);
  expect(new Set(ids).size).toBe(20);
  expect(Math.min(...ids)).toBe(53);
});

test("a guarded commit to their stream is held against their head", async () => {
  const store = await beforeForeignRows(3);
  await expect(store.commit("foreign", [event()], meta, 1)).rejects.toMatchObject({ lastVersion: 2 });
  expect(await store.commit("foreign", [event()], meta, 2)).toMatchObject([{ id: 5, version: 3 }]);
});

test("truncate goes on behind them", async () => {
  const store = await beforeForeignRows(30);
  const result = await store.truncate([{ stream: "own", snapshot: { n: 1 } }]);
  const id = result.get("own")?.committed.id ?? 0;
  expect(id).toBeGreaterThan(31);
  const [next] = await store.commit("next", [event()], meta);
  expect(next?.id).toBeGreaterThan(id);
});

/** A store whose ids are in a gap far below rows that others have written: they collide with none. */
async function belowForeignRows() {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await store.commit("own", [event()], meta);
  await fixture.sql.unsafe(`insert into "${schema}"."${table}" (id, stream, version, name, data, meta)
    values (1000, 'foreign', 0, 'Imported', '{}', '{}')`);
  return store;
}

test("a new connection's first commit goes behind them, so that readers who have seen them read it", async () => {
  const store = await belowForeignRows();
  const { schema, table } = store.config;
  const other = fixture.store({ schema, table });
  expect(await other.commit("other", [event()], meta)).toMatchObject([{ id: 1_001 }]);
  expect(await store.commit("own", [event()], meta)).toMatchObject([{ id: 1_002 }]);
});

test("after a switch-over the same process goes on behind them", async () => {
  const store = await belowForeignRows();
  await fixture.kill(store);
  const batch = await Promise.all(["a", "b", "c"].map((stream) => store.commit(stream, [event()], meta)));
  expect(batch.flat().map(({ id }) => id)).toEqual([1_001, 1_002, 1_003]);
});

test("the first event of a truncated stream goes behind them", async () => {
  const store = await belowForeignRows();
  const result = await store.truncate([{ stream: "own" }]);
  expect(result.get("own")?.committed.id).toBe(1_001);
});

test("a role that may not move the sequence is refused, rather than put events where nobody reads them", async (context) => {
  const store = await belowForeignRows();
  const role = await fixture.role();
  if (!role) return context.skip("the server's user may not create roles");
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`grant usage on schema "${schema}" to ${role.user};
    grant select, insert, update, delete on "${schema}"."${table}" to ${role.user};
    grant usage, select on sequence "${schema}"."${table}_id_seq" to ${role.user}`);
  const few = fixture.store({ ...role, table });
  const refusal = { cause: { code: "42501" } };
  await expect(few.truncate([{ stream: "own" }])).rejects.toMatchObject(refusal);
  await expect(few.commit("own", [event()], meta)).rejects.toMatchObject(refusal);
  expect(await store.query(() => {})).toBe(2);
  await store.seed();
  expect(await few.commit("own", [event()], meta)).toMatchObject([{ id: 1_001 }]);
});

test("the first event of a stream that has the highest of them goes behind them", async () => {
  const store = await belowForeignRows();
  const { schema, table } = store.config;
  const [last] = await fixture.sql.unsafe(
    `select stream, id from "${schema}"."${table}" order by id desc limit 1`,
  );
  const stream = String(last?.stream);
  const result = await store.truncate([{ stream }]);
  expect(result.get(stream)?.committed.id).toBe(Number(last?.id) + 1);
});

test("a role without rights on the sequence of an identity truncates, as it commits", async (context) => {
  const owner = await fixture.seeded();
  const role = await fixture.role();
  if (!role) return context.skip("the server's user may not create roles");
  const { schema, table } = owner.config;
  const log = `"${schema}"."${table}"`;
  await fixture.sql.unsafe(`alter table ${log} alter id drop default; drop sequence if exists "${schema}"."${table}_id_seq";
    alter table ${log} alter id add generated by default as identity;
    grant usage on schema "${schema}" to ${role.user};
    grant select, insert, update, delete on all tables in schema "${schema}" to ${role.user}`);
  await owner.seed();
  const few = fixture.store({ ...role, table });
  await few.commit("other", [event()], meta);
  await few.commit("own", [event()], meta);
  expect((await few.truncate([{ stream: "own" }])).get("own")?.committed.id).toBe(3);
});
