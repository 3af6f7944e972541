/** Indexes of large tables are built while the tables are in use, whatever interrupts it. */
import { expect, onTestFinished, test, vi } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import { LARGE_BYTES } from "../../src/migrations/plan-indexes.ts";
import { until } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { createHistoric, EVENTS, historicLayouts } from "./act-pg-history.ts";
import { catalogOf } from "./catalog.ts";
import { filesOf } from "./files.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

vi.setConfig({ testTimeout: 60_000 });
const fixture = new MigrationFixture();
const event = { name: "A", data: {} };

/** A log of act-pg's last layout that counts as large. */
async function large(): Promise<TableName> {
  const name = fixture.name();
  const { events } = tablesOf(name);
  const layout = historicLayouts.at(-1);
  if (!layout) throw new Error("there are layouts");
  await createHistoric(fixture.sql, name, layout);
  await fixture.sql.unsafe(`insert into ${events} (name, data, stream, version, meta)
    select 'Filled', jsonb_build_object('text', repeat('x', 500)), 'f-' || k % 100, k / 100, '{"correlation": "", "causation": {}}'
    from generate_series(0, 17999) k`);
  const [row] = await fixture.sql`select pg_relation_size(${events}::regclass)::int as bytes`;
  expect(row?.bytes).toBeGreaterThan(LARGE_BYTES);
  return name;
}

/** A transaction with an old snapshot: CREATE INDEX CONCURRENTLY waits for its end. */
async function oldSnapshot(): Promise<() => Promise<unknown>> {
  const holder = fixture.connect();
  await holder`begin isolation level repeatable read`;
  await holder`select 1 from pg_class limit 1`;
  return () => holder`commit`;
}

const building = () =>
  until("an index waits for the old snapshot", async () => {
    const rows =
      await fixture.sql`select from pg_stat_progress_create_index where datname = current_database()
      and phase like 'waiting%'`;
    return rows.length > 0;
  });

/** The catalog of a log with the same rows that was adopted without a hitch. */
async function expected(): Promise<string[]> {
  const name = await large();
  await fixture.seeded(name);
  return catalogOf(name);
}

const indexNames = (facts: readonly string[]) => facts.filter((fact) => fact.startsWith("index "));

test("reads, appends, claims and other boots go on while an index is built", async () => {
  const name = await large();
  const release = await oldSnapshot();
  const theirs = new ActPgBaseline({ ...name, notify: false });
  onTestFinished(() => theirs.dispose());
  const lines = recordLog("info");
  const seeding = fixture.store(name).seed();
  await building();

  const worker = fixture.store(name);
  await worker.commit("s-0", [event], meta, 9);
  await theirs.commit("s-1", [event], meta, 9);
  expect(await worker.query(() => {}, { stream: "s-0", stream_exact: true })).toBeGreaterThan(0);
  expect(await worker.ack(await worker.claim(1, 0, "w", 10_000))).toHaveLength(1);
  await worker.truncate([{ stream: "s-2" }]);
  const second = worker.seed();
  await release();
  await Promise.all([seeding, second]);

  expect(await catalogOf(name)).toEqual(await expected());
  await worker.seed();
  const told = lines.filter((line) => line.includes(`"${name.table}":`));
  // That it builds, and what was done: from one of the two.
  expect(told).toEqual([
    expect.stringMatching(/building \d indexes; reads and appends continue meanwhile$/),
    expect.stringContaining(`_stream_id_ix" had another definition and is rebuilt`),
  ]);
});

test("a build that was interrupted is begun again by the next seed()", async () => {
  const name = await large();
  const release = await oldSnapshot();
  const seeding = causeOf(fixture.store(name).seed());
  await building();
  await fixture.sql`select pg_cancel_backend(pid) from pg_stat_progress_create_index where datname = current_database()`;
  expect(await seeding).toMatch(/cancel/);
  const left = indexNames(await catalogOf(name));
  expect(left.filter((fact) => /T_next_ix_\d+ ON.*valid f$/.test(fact))).toHaveLength(1);
  // What it has committed by then is enough to work with.
  expect(await fixture.store(name).commit("s-0", [event], meta, 9)).toMatchObject([{ version: 10 }]);
  await release();

  await fixture.seeded(name);
  expect(await catalogOf(name)).toEqual(await expected());
});

test("an index that was built but not yet swapped is taken, and one that was swapped out is dropped", async () => {
  const name = await large();
  const { events } = tablesOf(name);
  // The second index of the migrations.
  const next = `${name.table}_next_ix_1`;
  const old = `${name.table}_old_ix_0`;
  await fixture.sql.unsafe(`create index "${next}" on ${events} (stream text_pattern_ops, id)`);
  await fixture.sql.unsafe(`create index "${old}" on ${events} (version)`);
  const file = (await filesOf(fixture.sql, name))._next_ix_1;
  await fixture.seeded(name);
  expect((await filesOf(fixture.sql, name))._stream_id_ix).toBe(file);
  expect(await catalogOf(name)).toEqual(await expected());
});

test("behind a pooler in transaction mode the transaction builds the indexes", async () => {
  const name = await large();
  await fixture.seeded(name, { prepare: false });
  expect(await catalogOf(name)).toEqual(await expected());
});

test("a store with one connection builds them too", async () => {
  const name = await large();
  const store = await fixture.seeded(name, { max: 1 });
  expect(await catalogOf(name)).toEqual(await expected());
  expect(await store.commit("s-0", [event], meta, 9)).toMatchObject([{ id: EVENTS + 18_001 }]);
});

test("seed() after push restores indexes that were dropped or changed, and storage options", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const before = await catalogOf(name);
  const { events, streams, correlated } = tablesOf(name);
  const at = (suffix: string) => `"${name.schema}"."${name.table}_${suffix}"`;
  await fixture.sql.unsafe(`drop index ${at("correlation_ix")}; drop index ${at("snapshot_ix")};
    create index "${name.table}_snapshot_ix" on ${events} (stream, id) where name = 'snapshot';
    drop index ${at("streams_order_ix")}; create index "${name.table}_streams_order_ix" on ${streams} (stream);
    alter table ${streams} reset (fillfactor, autovacuum_vacuum_threshold); alter table ${correlated} reset (fillfactor)`);
  await fixture.seeded(name);
  // The order of the options is that in which they were set.
  const sorted = (facts: readonly string[]) =>
    facts.map((fact) => fact.replace(/\{(.*)\}/, (_, list: string) => list.split(",").sort().join()));
  expect(sorted(await catalogOf(name))).toEqual(sorted(before));
  const lines = recordLog("info");
  await fixture.seeded(name);
  expect(lines).toEqual([]);
});

test("an index's own storage options stay", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  await fixture.sql.unsafe(`alter index "${name.schema}"."${name.table}_created_ix" set (pages_per_range = 32);
    alter index "${name.schema}"."${name.table}_name_id_ix" set (fillfactor = 80)`);
  const before = await catalogOf(name);
  const lines = recordLog("info");
  await fixture.seeded(name);
  expect([await catalogOf(name), lines]).toEqual([before, []]);
});
