/** What killed operations leave behind: doctor names it, and its remedy removes it. */
import { expect, onTestFinished, test } from "vitest";
import { Admin, type Finding } from "../../src/admin/index.ts";
import { record } from "../../src/backup/move/changes.ts";
import { closeTarget } from "../../src/backup/move/target.ts";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import { indexSteps } from "../../src/migrations/migration-steps.ts";
import { BENCH_SCHEMA } from "../../src/schema/bench-schema.ts";
import { REBUILD_PROGRESS, rebuildSchema } from "../../src/values/rebuild-schema.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

const CODES = new Set<Finding["code"]>([
  "move-unfinished",
  "rebuild-unfinished",
  "bench-unfinished",
  "schema-drift",
]);
const look = async (store: PostgresStore) =>
  (await new Admin(store).doctor()).filter(({ code }) => CODES.has(code));

/** Runs the statements that the remedy ends with. */
async function follow({ remedy }: Finding): Promise<void> {
  const [, statements = ""] = /: ((?:drop [^;]+(?:; )?)+)\.$/.exec(remedy) ?? [];
  expect(statements, remedy).not.toBe("");
  for (const statement of statements.split("; ")) await fixture.sql.unsafe(statement);
}

/** The one finding, with its code and what it names. */
async function only(store: PostgresStore, code: Finding["code"], named: readonly string[]): Promise<Finding> {
  const found = await look(store);
  expect(found.map((one) => one.code)).toEqual([code]);
  const [finding] = found;
  if (!finding) throw new Error("there is one");
  for (const name of named) expect(finding.found).toContain(name);
  return finding;
}

test("the recording of a move that was killed", async () => {
  const store = await fixture.seeded();
  const { connections, names } = contextOf(store);
  await store.commit("s", [event()], meta);
  await connections.session("test", (run) => record(run, names, undefined));
  const finding = await only(store, "move-unfinished", [
    "act_drizzle_changed",
    "act_drizzle_inserted",
    `table "${store.config.schema}"."${store.config.table}_moving"`,
    `function "${store.config.schema}"."${store.config.table}_moving"()`,
  ]);
  await follow(finding);
  expect(await look(store)).toEqual([]);
  await store.commit("s", [event()], meta);
});

test("the guard of a log that a killed move was filling", async () => {
  const store = await fixture.seeded();
  await closeTarget(contextOf(store), false);
  await expect(store.commit("s", [event()], meta)).rejects.toThrow();
  await follow(await only(store, "move-unfinished", ["act_drizzle_filling", "Commits are refused"]));
  expect(await look(store)).toEqual([]);
  await store.commit("s", [event()], meta);
});

test("the shadows of a rebuild that was stopped, and the schema of a measurement", async () => {
  const store = await fixture.seeded();
  const schemas = [
    rebuildSchema("", "positions", `Totals-${store.config.table}`),
    `${BENCH_SCHEMA}0123456789ab`,
  ];
  onTestFinished(async () => {
    for (const schema of schemas) await fixture.sql.unsafe(`drop schema if exists "${schema}" cascade`);
  });
  const [shadows = "", bench = ""] = schemas;
  await fixture.sql.unsafe(
    `create schema "${shadows}"; create table "${shadows}".${REBUILD_PROGRESS} (at bigint)`,
  );
  await follow(await only(store, "rebuild-unfinished", [shadows]));
  await fixture.sql.unsafe(`create schema "${bench}"`);
  await follow(await only(store, "bench-unfinished", [bench]));
  expect(await look(store)).toEqual([]);
});

test("an index that a killed build left beside a complete one", async () => {
  const store = await fixture.seeded();
  const { table } = store.config;
  const step = indexSteps(contextOf(store).names).find(({ name }) => name === `${table}_name_id_ix`);
  const next = step?.next ?? "";
  await fixture.sql.unsafe(`create index ${next} on ${table} (name, id)`);
  const [finding] = await look(store);
  expect([finding?.code, finding?.found]).toEqual(["schema-drift", expect.stringContaining(next)]);
  await store.seed();
  expect(await look(store)).toEqual([]);
});
