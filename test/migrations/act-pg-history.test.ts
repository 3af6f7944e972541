/** Every release of act-pg, and every upgrade of it, ends in the tables of a new store; what stays is listed here. */
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import { PostgresStore } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import {
  createHistoric,
  EVENTS,
  type HistoricLayout,
  historicLayouts,
  upgradeHistoric,
} from "./act-pg-history.ts";
import { catalogOf } from "./catalog.ts";
import { MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
const last = historicLayouts.at(-1);
if (!last) throw new Error("there are layouts");

/** Facts without the order of columns, and without names that PostgreSQL 18 gives to NOT NULL. */
const unordered = (facts: readonly string[]) =>
  facts
    .filter((fact) => !fact.includes("_not_null: "))
    .map((fact) => fact.replace(/^(column \S+)\.\d+ /, "$1 ").replaceAll(/\s+/g, " "))
    .sort();

let fresh: string[];
beforeAll(async () => {
  const name = fixture.name();
  const store = new PostgresStore({ ...name, max: 2 });
  await store.seed().finally(() => store.dispose());
  fresh = unordered(await catalogOf(name));
});

const column = (table: string, name: string, type: string, notNull: boolean, value = "") =>
  `column ${table} ${name}: ${type}, not null ${notNull ? "t" : "f"}, default ${value}, identity `;

const MARK =
  "CASE WHEN has_sequence_privilege((to_regclass('S.T_id_seq'::text))::oid, 'usage, select'::text) THEN pg_sequence_last_value(to_regclass('S.T_id_seq'::text)) ELSE NULL::bigint END";

/**
 * What adopted tables have in the place of what new ones have: narrow ids where act-pg reads numbers, data and meta that
 * may be NULL, the default that marks act-pg's rows (ADR 0006), and act-pg's own columns and indexes.
 */
function kept(layouts: readonly HistoricLayout[]): string[] {
  const [first, newest] = [layouts[0], layouts.at(-1)];
  if (!first || !newest) return [];
  const has = (part: keyof HistoricLayout["tables"], name: string) =>
    layouts.some(({ tables }) => name in tables[part]);
  const narrow = first.tables.events.id?.startsWith("int") === true;
  const ids = narrow ? "integer" : "bigint";
  const { at: theirs, id: single } = newest.tables.correlated;
  const checkpoint = theirs === undefined ? ids : theirs.startsWith("int") ? "integer" : "bigint";
  const minusOne = (type: string) => `'-1'::${type}`;
  const replaced: Record<string, string[]> = {
    "column T id": [column("T", "id", ids, true, "nextval('S.T_id_seq'::regclass)")],
    "column T data": [column("T", "data", "jsonb", false)],
    "column T meta": [column("T", "meta", "jsonb", false)],
    "column T_streams at": [column("T_streams", "at", "integer", true, minusOne("integer"))],
    "column T_streams correlated_at": [
      column("T_streams", "correlated_at", has("streams", "correlated_at") ? "integer" : ids, false, MARK),
    ],
    "column T_correlated at": [
      column("T_correlated", "at", checkpoint, true, minusOne(theirs ? "integer" : ids)),
    ],
    ...(narrow && { "sequence T_id_seq": ["sequence T_id_seq: integer, start 1, by 1, cache 1, cycle f"] }),
    ...(single && {
      "column T_correlated key": [
        column("T_correlated", "key", "text", true, "''::text"),
        column("T_correlated", "id", "integer", false),
        "index CREATE UNIQUE INDEX T_correlated_id_key ON S.T_correlated USING btree (id), valid t",
        "constraint T_correlated T_correlated_id_key: UNIQUE (id)",
      ],
    }),
  };
  const own = new Set(fresh.flatMap((fact) => /INDEX T_(\w+) ON/.exec(fact)?.[1] ?? []));
  const suffixes = new Set(layouts.flatMap(({ indexes }) => Object.keys(indexes)));
  return [
    ...fresh.flatMap((fact) => replaced[fact.split(":")[0] ?? ""] ?? [fact]),
    ...[...suffixes].filter((suffix) => !own.has(suffix)).map((suffix) => `index T_${suffix}`),
    ...(has("streams", "leased_at") ? [column("T_streams", "leased_at", "integer", false)] : []),
  ].sort();
}

/** The catalog; act-pg's own indexes by their names alone. */
async function found(name: TableName): Promise<string[]> {
  const own = new Set(fresh.flatMap((fact) => /INDEX (T_\w+) ON/.exec(fact)?.[1] ?? []));
  return unordered(await catalogOf(name))
    .map((fact) => {
      const [, index = ""] = /^index CREATE INDEX (T_\w+) ON/.exec(fact) ?? [];
      return index && !own.has(index) ? `index ${index}` : fact;
    })
    .sort();
}

async function expectWork(name: TableName): Promise<void> {
  const store = fixture.store(name);
  expect(await store.commit("s-0", [{ name: "A", data: {} }], meta, 9)).toMatchObject([
    { id: EVENTS + 1, version: 10 },
  ]);
  const leases = await store.claim(20, 0, "w", 60_000);
  expect(leases.map(({ stream }) => stream)).toContain("t-9");
  expect(await store.ack(leases.map((lease) => ({ ...lease, at: EVENTS + 1 })))).toHaveLength(leases.length);
  const lines = recordLog("info");
  await store.seed();
  expect(lines).toEqual([]);
}

describe("adopted from", () => {
  test.each(historicLayouts.map((layout) => [layout.title, layout] as const))("%s", async (_, layout) => {
    const name = fixture.name();
    await createHistoric(fixture.sql, name, layout);
    await fixture.seeded(name);
    expect(await found(name)).toEqual(kept([layout]));
    await expectWork(name);
  });
});

describe("upgraded by act-pg to its last layout and then adopted, or adopted first, from", () => {
  test.each(historicLayouts.slice(0, -1).map((layout) => [layout.title, layout] as const))(
    "%s",
    async (_, layout) => {
      const [before, after] = [fixture.name(), fixture.name()];
      await createHistoric(fixture.sql, before, layout);
      await upgradeHistoric(fixture.sql, before, last);
      await fixture.seeded(before);
      await createHistoric(fixture.sql, after, layout);
      await fixture.seeded(after);
      const adopted = await found(after);
      await upgradeHistoric(fixture.sql, after, last);
      await fixture.seeded(after);

      expect(await found(before)).toEqual(kept([layout, last]));
      // It only adds indexes of its own.
      const added = (await found(after)).filter((fact) => !adopted.includes(fact));
      expect(added.filter((fact) => !/^index \w+$/.test(fact))).toEqual([]);
      expect((await found(after)).filter((fact) => !added.includes(fact))).toEqual(adopted);
      for (const name of [before, after]) await expectWork(name);
    },
  );
});

test("both adapters work beside each other on the last layout", async () => {
  const name = fixture.name();
  await createHistoric(fixture.sql, name, last);
  const ours = await fixture.seeded(name);
  const theirs = new ActPgBaseline({ ...name, notify: false });
  onTestFinished(() => theirs.dispose());
  await theirs.seed();
  await theirs.commit("s-1", [{ name: "Theirs", data: {} }], meta, 9);
  await ours.commit("s-1", [{ name: "Ours", data: {} }], meta, 10);
  await theirs.subscribe([{ stream: "both", source: "s-1", correlated_at: EVENTS + 2 }], EVENTS + 2);
  const leases = await ours.claim(20, 0, "we", 60_000);
  expect(leases.map(({ stream }) => stream)).toContain("both");
  expect(await theirs.claim(20, 0, "they", 60_000)).toEqual([]);
  expect(await theirs.ack(leases.map((lease) => ({ ...lease, at: EVENTS + 2 })))).toHaveLength(leases.length);
  const before = await catalogOf(name);
  await ours.seed();
  expect(await catalogOf(name)).toEqual(before);
});

test("a row that an older act-pg adds after the adoption has a mark, and is claimed", async () => {
  const name = fixture.name();
  const { streams } = tablesOf(name);
  const [layout] = historicLayouts.filter(({ tables }) => !("correlated_at" in tables.streams)).slice(-1);
  if (!layout) throw new Error("there is an older layout");
  await createHistoric(fixture.sql, name, layout);
  const store = await fixture.seeded(name);
  await store.commit("s-0", [{ name: "A", data: {} }], meta);
  await fixture.sql.unsafe(
    `insert into ${streams} (stream, source) values ('theirs', 's-0') on conflict do nothing`,
  );
  await store.subscribe([{ stream: "idle" }]);
  const claimed = (await store.claim(20, 0, "w", 60_000)).map(({ stream }) => stream);
  expect(claimed).toContain("theirs");
  // What this store adds without a mark has none.
  expect(claimed).not.toContain("idle");
});

test("subscriptions beside ids that were widened by hand are marked too, and later rows as well", async () => {
  const name = fixture.name();
  const { events, streams } = tablesOf(name);
  await createHistoric(fixture.sql, name, last);
  await fixture.sql.unsafe(`alter table ${events} alter column id type bigint;
    alter table ${streams} alter column at type bigint, alter column correlated_at type bigint`);
  const store = await fixture.seeded(name);
  await fixture.sql.unsafe(`insert into ${streams} (stream) values ('theirs')`);
  const marks = new Map<string, unknown>();
  await store.query_streams(({ stream, correlated_at }) => marks.set(stream, correlated_at));
  expect([marks.get("t-9"), marks.get("theirs")]).toEqual([EVENTS, EVENTS]);
});

test("a sequence that cannot be read leaves a new row without a mark, and is no error", async () => {
  const name = fixture.name();
  await createHistoric(fixture.sql, name, last);
  await fixture.seeded(name);
  const { streams } = tablesOf(name);
  await fixture.sql.unsafe(
    `alter sequence "${name.schema}"."${name.table}_id_seq" rename to "${name.table}_moved"`,
  );
  const rows = await fixture.sql.unsafe(
    `insert into ${streams} (stream) values ('x') returning correlated_at`,
  );
  expect(rows).toEqual([{ correlated_at: null }]);
});
