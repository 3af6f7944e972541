/**
 * seed(), the shipped migrations, drizzle-kit's push and generate + migrate, and the DDL by hand end in the same
 * tables, in whatever order they are run.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import { connect, createDatabase } from "../support/database.ts";
import { catalogOf } from "./catalog.ts";
import { Project, runMigrations } from "./project.ts";

// drizzle-kit takes a second or two each time, on a machine that does nothing else.
vi.setConfig({ testTimeout: 180_000 });

const shipped = join(import.meta.dirname, "../../drizzle");

const standard = { schema: "public", table: "events" };
/** The default, two more in its schema, a schema of its own, and a schema for each tenant. */
const places = [
  standard,
  { schema: "public", table: "orders" },
  { schema: "public", table: "Mixed_Case" },
  { schema: "shop", table: "carts" },
  { schema: "tenant_a", table: "events" },
  { schema: "tenant_b", table: "events" },
] as const;
type Place = { readonly schema: string; readonly table: string };

/** What seed() makes of an empty database. */
let expected: string[];

/** A database for one test: tables with the default names need one of their own. */
async function newDatabase(): Promise<string> {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  if (database.schema !== "public")
    throw new Error("These tests need a server on which they may create databases");
  return database.url;
}

async function seedAll(url: string, all: readonly Place[] = places): Promise<void> {
  for (const place of all) {
    const store = new PostgresStore({ ...place, url, max: 2 });
    await store.seed().finally(() => store.dispose());
  }
}

/** All stores of a database, but for the record of who made them, which only seed() writes. */
async function expectSame(url: string, all: readonly Place[] = places, seeded = true): Promise<void> {
  const comparable = (facts: readonly string[]) =>
    seeded ? facts : facts.filter((fact) => !fact.startsWith("table "));
  for (const place of all) {
    const found = await catalogOf({ ...place, url });
    expect(comparable(found), `"${place.schema}"."${place.table}"`).toEqual(comparable(expected));
  }
}

async function runByHand(url: string, statements: string): Promise<void> {
  const sql = connect(url);
  await sql.unsafe(statements);
  await sql.end();
}

beforeAll(async () => {
  const database = await createDatabase();
  const name: TableName = { url: database.url, schema: database.schema, table: "reference" };
  await seedAll(database.url, [name]);
  expected = await catalogOf(name);
  return () => database.drop();
});

test("the catalog is compared whole", () => {
  const kinds = ["table", "column", "index", "constraint", "sequence"];
  const counts = kinds.map((kind) => expected.filter((fact) => fact.startsWith(`${kind} `)).length);
  expect(counts.slice(0, 3)).toEqual([3, 27, 20]);
  expect(Math.min(...counts)).toBeGreaterThan(0);
});

test("seed(), then push: nothing to change", async () => {
  const url = await newDatabase();
  await seedAll(url);
  await expectSame(url);
  expect(await new Project(url, places).push()).toBe("unchanged");
  await seedAll(url);
  await expectSame(url);
});

test("push, push, the shipped migrations, seed(), push", async () => {
  const url = await newDatabase();
  const project = new Project(url, places);
  expect(await project.push()).toBe("applied");
  await expectSame(url, places, false);
  expect(await project.push()).toBe("unchanged");
  await runMigrations(url, shipped, "act_migrations");
  await expectSame(url, places, false);
  await seedAll(url);
  await expectSame(url);
  expect(await project.push()).toBe("unchanged");
});

test("generate, generate, migrate, seed(), migrate, push", async () => {
  const url = await newDatabase();
  const project = new Project(url, places);
  expect(await project.generate()).toBe("applied");
  expect(await project.generate()).toBe("unchanged");
  await project.migrate();
  await expectSame(url, places, false);
  await seedAll(url);
  await expectSame(url);
  await project.migrate();
  await expectSame(url);
  expect(await project.push()).toBe("unchanged");
});

test("seed(), then a generated migration: refused as a whole, accepted with IF NOT EXISTS", async () => {
  const url = await newDatabase();
  await seedAll(url);
  const project = new Project(url, places);
  await project.generate();
  await expect(project.migrate()).rejects.toThrow();
  await expectSame(url);

  project.edit((sql) =>
    sql.replaceAll(/^CREATE (SCHEMA|TABLE|INDEX|UNIQUE INDEX) /gm, "CREATE $1 IF NOT EXISTS "),
  );
  await project.migrate();
  await expectSame(url);
});

test.each(["before seed()", "after seed()", "twice"])("the shipped migrations, %s", async (order) => {
  const url = await newDatabase();
  if (order === "after seed()") await seedAll(url, [standard]);
  await runMigrations(url, shipped, "act_migrations");
  // Into a table of its own, as after a clean-up of Drizzle's.
  if (order === "twice") await runMigrations(url, shipped, "act_migrations_again");
  await expectSame(url, [standard], order === "after seed()");
  await seedAll(url, [standard]);
  await expectSame(url, [standard]);
});

test("the DDL by hand, also twice and after seed()", async () => {
  const url = await newDatabase();
  await seedAll(url, [standard]);
  for (const place of [...places, ...places]) await runByHand(url, PostgresStore.ddl(place));
  await expectSame(url);
  await seedAll(url);
  await expectSame(url);
});

test("seed() completes what was made by hand in part", async () => {
  const url = await newDatabase();
  await runByHand(url, PostgresStore.ddl(standard));
  await runByHand(
    url,
    `comment on table events is null;
     drop table events_correlated;
     drop index events_stream_ix, events_created_ix, events_streams_prio_ix;
     alter table events drop column dates;
     alter table events_streams reset (fillfactor), alter column correlated_at drop default, drop column correlated_at`,
  );
  await seedAll(url, [standard]);
  // A column that was added comes last, behind the numbers of those that were dropped.
  const unnumbered = (facts: readonly string[]) =>
    facts.map((fact) => fact.replace(/^(column \S+)\.\d+ /, "$1 ")).sort();
  expect(unnumbered(await catalogOf({ ...standard, url })).map(sortOptions)).toEqual(
    unnumbered(expected).map(sortOptions),
  );
});

/** Storage options are kept in the order in which they were set. */
const sortOptions = (fact: string) =>
  fact.replace(/\{(.*)\}/, (_, list: string) => `{${list.split(",").sort().join(",")}}`);

/** Brings the database from the schema of release 0.1.0 to this one's, but for what only seed() does. */
const upgrades: Record<string, (url: string) => Promise<unknown>> = {
  "seed()": async () => {},
  push: (url) => new Project(url, [standard]).push(),
  "the shipped migrations": (url) => runMigrations(url, shipped, "act_migrations"),
  "the DDL by hand": (url) => runByHand(url, PostgresStore.ddl(standard)),
};

test.each(Object.entries(upgrades))(
  "the tables of release 0.1.0, brought up to date by %s",
  async (_, upgrade) => {
    const url = await newDatabase();
    await runMigrations(url, shippedBy010(), "act_migrations");
    await runByHand(url, "comment on table events is '[act-drizzle schema 2]'");
    await upgrade(url);
    await seedAll(url, [standard]);
    await expectSame(url, [standard]);
    expect(await new Project(url, [standard]).push()).toBe("unchanged");
  },
);

/** The folder of migrations as release 0.1.0 shipped it: its first two. */
function shippedBy010(): string {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-previous-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(shipped, folder, { recursive: true });
  const journal = join(folder, "meta/_journal.json");
  const { entries, ...rest } = JSON.parse(readFileSync(journal, "utf8"));
  writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, 2) }));
  return folder;
}

test("a mixed-case schema: push is repeatable with that schema as search_path", async () => {
  const url = await newDatabase();
  const place = { schema: "Tenant", table: "Events" };
  // drizzle-kit 0.31 takes a serial's sequence for a stray one where its name is quoted and qualified.
  const direct = new Project(url, [place]);
  expect(await direct.push()).toBe("applied");
  await expect(direct.push()).rejects.toThrow('cannot drop sequence "Tenant"."Events_id_seq"');

  const within = new URL(url);
  within.searchParams.set("options", '-c search_path="Tenant"');
  await seedAll(url, [place]);
  await expectSame(url, [place]);
  expect(await new Project(within.href, [place]).push()).toBe("unchanged");
});
