/**
 * A log that is partitioned by a hash of the stream, as users of act-pg run it: adopted, and used by every verb.
 *
 * PostgreSQL wants the partition key in each unique index. So (stream, version) can be unique, and ids cannot be by
 * themselves: the primary key is (id, stream), or there is none.
 */
import { ConcurrencyError, type Schemas } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import { Admin, type ArchiveTarget, decompress } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import { CURRENT_LAYOUT, createLayout, EVENTS } from "./act-pg-layouts.ts";
import { MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
const PARTITIONS = 4;
const event = (name: string) => ({ name, data: {} });

/** act-pg's tables with their history, the log in partitions. */
async function partitioned(primaryKey: boolean): Promise<TableName> {
  const name = fixture.name();
  await createLayout(fixture.sql, name, CURRENT_LAYOUT);
  const { events } = tablesOf(name);
  const part = (n: number) => `"${name.schema}"."${name.table}_p${n}"`;
  const statements = [
    `alter table ${events} rename to "${name.table}_whole"`,
    `alter index "${name.schema}"."${name.table}_stream_ix" rename to "${name.table}_whole_ix"`,
    `create table ${events} (like "${name.schema}"."${name.table}_whole" including defaults) partition by hash (stream)`,
    `alter sequence "${name.schema}"."${name.table}_id_seq" owned by ${events}.id`,
    ...Array.from(
      { length: PARTITIONS },
      (_, n) =>
        `create table ${part(n)} partition of ${events} for values with (modulus ${PARTITIONS}, remainder ${n})`,
    ),
    `insert into ${events} select * from "${name.schema}"."${name.table}_whole"`,
    `drop table "${name.schema}"."${name.table}_whole"`,
    `create unique index "${name.table}_stream_ix" on ${events} (stream, version)`,
    primaryKey
      ? `alter table ${events} add primary key (id, stream)`
      : `create index "${name.table}_id_ix" on ${events} (id)`,
  ];
  for (const statement of statements) await fixture.sql.unsafe(statement);
  return name;
}

async function all(store: PostgresStore, filter?: Parameters<PostgresStore["query"]>[1]) {
  const found: { id: number; stream: string; version: number; name: string }[] = [];
  await store.query<Schemas>(
    ({ id, stream, version, name }) => void found.push({ id, stream, version, name: String(name) }),
    filter,
  );
  return found;
}

test("a log in hash partitions without an index on id gets one, and doctor tells before", async () => {
  const name = await partitioned(false);
  const store = await fixture.seeded(name);
  await fixture.sql.unsafe(`drop index "${name.schema}"."${name.table}_id_ix"`);
  const drifts = async () =>
    (await new Admin(store).doctor({ listen: false }))
      .filter(({ code }) => code === "schema-drift")
      .map(({ found }) => found);
  expect(await drifts()).toEqual([expect.stringContaining(`key on "${name.table}"."id" added`)]);
  await store.seed();
  expect(await drifts()).toEqual([]);
  const indexes = await fixture.sql`select indexdef from pg_indexes
    where schemaname = ${name.schema} and tablename = ${name.table} and indexdef like '%(id)'`;
  expect(indexes).toHaveLength(1);
});

describe.each([
  ["with the primary key (id, stream)", true],
  ["without a primary key", false],
])("a log in hash partitions, %s,", (_, primaryKey) => {
  async function adopted() {
    const name = await partitioned(primaryKey);
    return { name, store: await fixture.seeded(name) };
  }

  test("is adopted with every event, and found complete from then on", async () => {
    const { name, store } = await adopted();
    const found = await all(store);
    expect(found.map(({ id }) => id)).toEqual(Array.from({ length: EVENTS }, (_, n) => n + 1));
    const lines = recordLog("info");
    const warnings = recordLog("warn");
    await store.seed();
    expect([...lines, ...warnings]).toEqual([]);
    const [row] = await fixture.sql.unsafe(
      `select relkind::text as kind, (select count(*)::int from pg_inherits where inhparent = c.oid) as parts
        from pg_class c where oid = '${tablesOf(name).events}'::regclass`,
    );
    expect(row).toEqual({ kind: "p", parts: PARTITIONS });
  });

  test("gets ids in order and dense versions from concurrent commits of two processes, act-pg's among them", async () => {
    const { name, store } = await adopted();
    const other = new ActPgBaseline({ ...name, notify: false });
    onTestFinished(() => other.dispose());
    const seen: number[] = [];
    let over = false;
    const tailing = (async () => {
      for (let last = false; ; last = over) {
        const page = await all(store, { after: seen.at(-1) ?? 0, with_snaps: true });
        seen.push(...page.map(({ id }) => id));
        if (last && page.length === 0) return;
      }
    })();
    await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        for (let turn = 0; turn < 10; turn++) {
          await store.commit(`c-${n % 4}`, [event("Ours"), event("Ours")], meta);
          await other.commit(`a-${n}`, [event("Theirs")], meta);
        }
      }),
    );
    over = true;
    await tailing;
    const log = await all(store);
    expect(seen).toEqual(log.map(({ id }) => id));
    for (let n = 0; n < 4; n++)
      expect(log.filter(({ stream }) => stream === `c-${n}`).map(({ version }) => version)).toEqual(
        Array.from({ length: 40 }, (_, version) => version),
      );
  });

  test("refuses a commit on an old version, and takes one on the right one", async () => {
    const { store } = await adopted();
    await expect(store.commit("s-1", [event("A")], meta, 3)).rejects.toThrow(ConcurrencyError);
    const [committed] = await store.commit("s-1", [event("A")], meta, 9);
    expect(committed).toMatchObject({ id: EVENTS + 1, version: 10 });
  });

  test("goes on behind versions that were given out of order, as it does without partitions", async () => {
    const { name, store } = await adopted();
    const row = (version: number) =>
      fixture.sql.unsafe(
        `insert into ${tablesOf(name).events} (name, data, stream, version, meta) values ('E', '{}', 'odd', ${version}, '{}')`,
      );
    await row(1);
    await row(0);
    expect(await store.commit("odd", [event("A")], meta)).toMatchObject([{ version: 2 }]);
  });

  test.runIf(primaryKey)("gives ids behind those that came from elsewhere", async () => {
    const { name, store } = await adopted();
    await store.commit("s-1", [event("A")], meta);
    await fixture.sql.unsafe(
      `insert into ${tablesOf(name).events} (id, name, data, stream, version, meta) values (62, 'E', '{}', 's-1', 11, '{}')`,
    );
    expect(await store.commit("s-1", [event("B")], meta)).toMatchObject([{ id: 63, version: 12 }]);
  });

  test("is read by stream, by pattern, by name, backward, and by query_stats", async () => {
    const { store } = await adopted();
    expect(await all(store, { stream: "s-1", stream_exact: true, with_snaps: true, after: -1 })).toHaveLength(
      10,
    );
    expect((await all(store, { stream: "^s-[12]$", limit: 5 })).map(({ id }) => id)).toEqual([
      1, 2, 7, 8, 13,
    ]);
    expect((await all(store, { names: ["__snapshot__"], with_snaps: true })).map(({ id }) => id)).toEqual([
      20, 40, 60,
    ]);
    expect((await all(store, { backward: true, limit: 2, with_snaps: true })).map(({ id }) => id)).toEqual([
      60, 59,
    ]);
    const stats = await store.query_stats({}, { count: true });
    expect([...stats.keys()]).toEqual(["s-0", "s-1", "s-2", "s-3", "s-4", "s-5"]);
    expect(stats.get("s-1")).toMatchObject({ count: 10, head: { id: 55 } });
  });

  test("is truncated, in full and up to a snapshot, and forgets pii", async () => {
    const { store } = await adopted();
    expect(await store.forget_pii("s-5")).toBeGreaterThan(0);
    expect(await store.forget_pii("s-5")).toBe(0);
    const full = await store.truncate([{ stream: "s-1", snapshot: { n: 1 } }]);
    expect(full.get("s-1")).toMatchObject({ deleted: 10, committed: { version: 0, id: EVENTS + 1 } });
    const windowed = await store.truncate([{ stream: "s-2", before: new Date() }]);
    expect(windowed.get("s-2")?.deleted).toBeGreaterThan(0);
    const [next] = await store.commit("s-2", [event("A")], meta);
    expect(next?.version).toBe(10);
  });

  test("is restored whole", async () => {
    const { store } = await adopted();
    const kept = await all(store);
    await store.restore(async (insert) => {
      for (const { stream, version } of kept.slice(0, 20))
        await insert({ ...event("R"), id: 1, stream, version, created: new Date(0), meta });
    });
    expect((await all(store)).map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(await store.commit("s-1", [event("A")], meta)).toMatchObject([{ id: 21, version: 4 }]);
  });

  test("is not restored with a version twice, and the error says so", async () => {
    const { store } = await adopted();
    const before = await all(store);
    const twice = store.restore(async (insert) => {
      const given = { ...event("R"), id: 1, stream: "s-1", version: 0, created: new Date(0), meta };
      for (let i = 0; i < 2; i++) await insert(given);
    });
    await expect(twice).rejects.toThrow(
      /two events of the input have the same stream and version: leave one out/,
    );
    expect(await all(store)).toEqual(before);
  });

  test("gives its work to claims", async () => {
    const { store } = await adopted();
    await store.subscribe([{ stream: "new", source: "s-1", correlated_at: EVENTS }], EVENTS);
    const leases = await store.claim(100, 0, "w", 10_000);
    expect(leases.map(({ stream }) => stream)).toContain("new");
    expect(await store.ack(leases.map((lease) => ({ ...lease, at: EVENTS })))).toHaveLength(leases.length);
    expect((await store.query_streams(() => {})).maxEventId).toBe(EVENTS);
  });

  test("is archived, and gets back what was archived", async () => {
    const { store } = await adopted();
    const admin = new Admin(store);
    await store.commit("s-3", [event("__tombstone__")], meta);
    await fixture.sql.unsafe(`update ${tablesOf(store.config).streams} set at = ${EVENTS}`);
    await store.subscribe([], EVENTS);
    const before = await all(store);
    const objects = new Map<string, Uint8Array[]>();
    const target: ArchiveTarget = {
      write: async (name, content) => {
        const parts: Uint8Array[] = [];
        for await (const part of content) parts.push(part);
        objects.set(name, parts);
      },
      read: async function* (name) {
        yield* objects.get(name) ?? [];
      },
    };
    const { streams, events, files } = await admin.archive({ target });
    expect([streams, events]).toEqual([1, 10]);
    expect((await all(store, { stream: "s-3", stream_exact: true })).map(({ name }) => name)).toEqual([
      "__tombstone__",
    ]);
    for (const { file } of files)
      await admin.import(decompress(target.read(file), "zstd"), { mode: "merge" });
    expect(await all(store)).toEqual(before);
  });

  test("is exported and imported", async () => {
    const { store } = await adopted();
    const copy = await fixture.seeded(await partitioned(primaryKey));
    await copy.commit("s-1", [event("A")], meta);
    await new Admin(copy).import(new Admin(store).export(), { mode: "replace" });
    expect(await all(copy)).toEqual(await all(store));
    expect((await copy.commit("s-1", [event("A")], meta))[0]?.version).toBe(10);
  });

  test("has no finding of doctor that an ordinary log would not have", async () => {
    const { store } = await adopted();
    const plain = fixture.name();
    await createLayout(fixture.sql, plain, CURRENT_LAYOUT);
    const codes = async (of: PostgresStore) => (await new Admin(of).doctor()).map(({ code }) => code);
    expect(await codes(store)).toEqual(await codes(await fixture.seeded(plain)));
  });

  test("is dropped with its partitions", async () => {
    const { name, store } = await adopted();
    await store.drop();
    const left = await fixture.sql.unsafe(
      `select relname from pg_class where relname like '${name.table}%' and relkind in ('r', 'p')`,
    );
    expect(left).toEqual([]);
  });
});
