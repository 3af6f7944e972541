/**
 * Ids at the end of their type: 2³¹ − 1 in a table that act-pg made, 2⁵³ − 1 in one of the store's own, beyond which
 * JavaScript reads another number. Told long before, refused at the end, never wrong. Not shown here: how long it
 * takes to get there; the sequences are set.
 */
import { log, type Schemas, StoreError } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { DatabaseError, type PostgresStore } from "../../src/index.ts";
import { CURRENT_LAYOUT, createLayout } from "../migrations/act-pg-layouts.ts";
import { MigrationFixture, tablesOf } from "../migrations/fixture.ts";
import type { TableName } from "../order/lock.ts";
import { event, failureOf, meta } from "../postgres/fixture.ts";

const fixture = new MigrationFixture();
const INT4 = 2_147_483_647;
const LAST = Number.MAX_SAFE_INTEGER;

/** Tables of act-pg, taken over. */
async function adopted(): Promise<TableName> {
  const name = fixture.name();
  await createLayout(fixture.sql, name, CURRENT_LAYOUT);
  await fixture.seeded(name);
  return name;
}

async function own(): Promise<TableName> {
  const name = fixture.name();
  await fixture.seeded(name);
  return name;
}

/** Adopted tables whose log was widened, as a release of act-pg did. `narrow`: the only other column that was not; undefined: none was. */
async function widened(narrow?: string): Promise<TableName> {
  const name = await adopted();
  const { events, streams, correlated } = tablesOf(name);
  const column = (table: string, of: string, key: string) =>
    key === narrow || narrow === undefined ? "" : `alter table ${table} alter ${of} type bigint;`;
  await fixture.sql.unsafe(`alter table ${events} alter id type bigint; alter sequence ${sequenceOf(name)} as bigint;
    ${column(streams, "at", "streams.at")} ${column(streams, "correlated_at", "streams.correlated_at")}
    ${column(correlated, "at", "correlated.at")}`);
  return name;
}

const sequenceOf = ({ schema, table }: TableName) => `"${schema}"."${table}_id_seq"`;
const used = (name: TableName, id: number) =>
  fixture.sql`select setval(${sequenceOf(name)}::regclass, ${id})`;

/** Warnings about the ids of this table from now on. */
function warnings({ table }: TableName): string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(log(), "warn").mockImplementation((text: unknown) => {
    if (String(text).includes(`"${table}"`)) lines.push(String(text));
  });
  onTestFinished(() => spy.mockRestore());
  return lines;
}

const commit = async (store: PostgresStore, stream = "s", expected?: number) => {
  const [committed] = await store.commit(stream, [event("Late")], meta, expected);
  return committed?.id;
};

async function idsIn(name: TableName): Promise<string[]> {
  const rows = await fixture.sql.unsafe(`select e.id::text from ${tablesOf(name).events} e order by e.id`);
  return rows.map(({ id }) => String(id));
}

const kinds = [
  { kind: "an adopted int4 table", make: adopted, end: INT4, remedy: "bigint" },
  { kind: "a bigint table", make: own, end: LAST, remedy: "restore" },
];

test.each(kinds)("boot warns when $kind has used three quarters of its ids, not before", async (of) => {
  const name = await of.make();
  const warned = warnings(name);
  await used(name, Math.floor(of.end * 0.74));
  await fixture.store(name).seed();
  expect(warned).toEqual([]);
  await used(name, Math.ceil(of.end * 0.76));
  await fixture.store(name).seed();
  expect(warned).toHaveLength(1);
  expect(warned[0]).toContain("76 %");
  expect(warned[0]).toContain(of.remedy);
});

test.each(kinds)(
  "a running process warns when the commits of $kind come that far, and seldom",
  async (of) => {
    const name = await of.make();
    const warned = warnings(name);
    const store = fixture.store(name);
    await used(name, Math.ceil(of.end * 0.75));
    await commit(store);
    await expect.poll(() => warned.length).toBe(1);
    for (let n = 0; n < 20; n++) await commit(store);
    expect(warned).toHaveLength(1);
    await used(name, Math.ceil(of.end * 0.9));
    await commit(store);
    await expect.poll(() => warned.length).toBe(2);
    expect(warned[1]).toContain("90 %");
  },
);

test.each(["all", "streams.at", "streams.correlated_at", "correlated.at"])(
  "a bigint log beside int4 ids in %s is warned of before their end, by boot, commit and doctor",
  async (narrow) => {
    const name = await widened(narrow === "all" ? undefined : narrow);
    const warned = warnings(name);
    await used(name, Math.ceil(INT4 * 0.96));
    const store = fixture.store(name);
    await store.seed();
    expect(warned).toEqual([
      expect.stringMatching(/of 2147483647 \(96 %\).*acks fail: widen them to bigint/),
    ]);
    await commit(store);
    await expect.poll(() => warned.length).toBe(2);
    expect(await new Admin(store).doctor({ listen: false })).toContainEqual(
      expect.objectContaining({ code: "ids-near-end", severity: "error" }),
    );
  },
);

test("past the end of int4 watermarks an ack says what to do, and each process warns once", async () => {
  const name = await widened();
  await used(name, INT4 + 5);
  const store = fixture.store(name);
  const warned = warnings(name);
  const id = await commit(store);
  await expect.poll(() => warned.length).toBe(1);
  for (let n = 0; n < 5; n++) await commit(store);
  await store.dispose();
  expect(warned).toHaveLength(1);
  const other = fixture.store(name);
  await fixture.sql.unsafe(
    `update ${tablesOf(name).streams} set at = -1, correlated_at = ${INT4} where stream = 't-1'`,
  );
  const leases = await other.claim(100, 0, "w", 60_000);
  const { error } = await failureOf(other.ack(leases.map((lease) => ({ ...lease, at: Number(id) }))));
  expect(String((error as StoreError).cause)).toContain("Widen the ids");
});

test("far below the end a commit asks nothing and warns of nothing", async () => {
  const name = await own();
  const warned = warnings(name);
  const store = fixture.store(name);
  await used(name, INT4 + 5);
  await commit(store);
  await commit(store);
  await store.dispose();
  expect(warned).toEqual([]);
});

test.each(kinds)(
  "at the end of $kind each commit is refused, with what to do, and nothing is written",
  async (of) => {
    const name = await of.make();
    warnings(name);
    const store = fixture.store(name);
    await used(name, of.end - 3);
    const before = await idsIn(name);
    const ids = [await commit(store, "a", -1), await commit(store, "a", 0), await commit(store, "b", -1)];
    expect(ids).toEqual([of.end - 2, of.end - 1, of.end]);
    const refused = await Promise.all([
      failureOf(commit(store, "a", 1)),
      failureOf(commit(store)),
      failureOf(commit(store, "c", -1)),
    ]);
    for (const { error } of refused) {
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toMatchObject({ operation: "commit", cause: { code: "2200H" } });
      expect((error as StoreError).cause).toBeInstanceOf(DatabaseError);
      expect(String((error as StoreError).cause)).toContain("Widen the ids");
    }
    expect(await idsIn(name)).toEqual([...before, ...ids.map(String)]);
  },
);

test.each(kinds)(
  "the last ids of $kind are ids like any other, for every verb that reads them",
  async (of) => {
    const name = await of.make();
    warnings(name);
    const store = fixture.store(name);
    await used(name, of.end - 2);
    await commit(store, "late", -1);
    await commit(store, "late", 0);
    const seen: number[] = [];
    await store.query<Schemas>(({ id }) => void seen.push(id), { after: of.end - 2 });
    expect(seen).toEqual([of.end - 1, of.end]);
    expect(await store.query(() => {}, { before: of.end, stream: "late", stream_exact: true })).toBe(1);
    expect((await store.query_stats(["late"])).get("late")?.head.id).toBe(of.end);
    expect((await store.query_streams(() => {}, { limit: 1 })).maxEventId).toBe(of.end);
    await store.subscribe([{ stream: "r", lane: "late", correlated_at: of.end }], of.end);
    const leases = await store.claim(1, 0, "w", 60_000, "late");
    const acked = await store.ack(leases.map((lease) => ({ ...lease, at: of.end })));
    expect(acked.map(({ at }) => at)).toEqual([of.end]);
  },
);

test("an id that JavaScript would read as another is an error, not that other", async () => {
  const name = await own();
  const store = fixture.store(name);
  const { events } = tablesOf(name);
  await fixture.sql.unsafe(
    `insert into ${events} (id, name, data, stream, version, created, meta) values (${LAST}::bigint + 2, 'X', '{}', 's', 0, now(), '{}')`,
  );
  const calls = {
    query: () => store.query(() => {}),
    query_stats: () => store.query_stats(["s"]),
  };
  for (const [operation, call] of Object.entries(calls)) {
    const { error } = await failureOf(call());
    expect(error, operation).toMatchObject({ name: "ERR_STORE", operation });
    expect(String((error as StoreError).cause), operation).toContain("2^53");
  }
});

test("a sequence that was set beyond the end, and may not be shortened, is no reason for a wrong number", async () => {
  const name = await own();
  const store = fixture.store(name);
  await fixture.sql.unsafe(`alter sequence ${sequenceOf(name)} maxvalue ${LAST}000`);
  await used(name, LAST);
  const { error } = await failureOf(commit(store));
  expect(error).toMatchObject({ name: "ERR_STORE", operation: "commit" });
  expect(String((error as StoreError).cause)).toContain("2^53");
});
