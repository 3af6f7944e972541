/** How seed() reads the statements that drizzle-kit generates. Needs no server. */
import { expect, test } from "vitest";
import { migrationSteps, toStep } from "../../src/migrations/migration-steps.ts";
import { migrations } from "../../src/migrations/sql.generated.ts";
import { namesOf } from "../../src/schema/names.ts";

test("a statement that creates a table is read with its columns", () => {
  const sql = `CREATE TABLE IF NOT EXISTS "events_correlated" (
	"key" text PRIMARY KEY NOT NULL,
	"at" bigint DEFAULT '-1' NOT NULL
);`;
  expect(toStep(sql, "events")).toEqual({
    kind: "table",
    name: "events_correlated",
    sql,
    columns: [
      { name: "key", definition: "text PRIMARY KEY NOT NULL" },
      { name: "at", definition: "bigint DEFAULT '-1' NOT NULL" },
    ],
  });
});

test.each([
  ['ALTER TABLE "events" ADD COLUMN "token" uuid;', "events", "token", "uuid"],
  ['ALTER TABLE "events" ADD COLUMN IF NOT EXISTS "token" uuid;', "events", "token", "uuid"],
  ['ALTER TABLE "events" ADD COLUMN "token" uuid', "events", "token", "uuid"],
  [
    `ALTER TABLE "events_streams" ADD COLUMN "lane" text DEFAULT 'a; "b"' NOT NULL;`,
    "events_streams",
    "lane",
    `text DEFAULT 'a; "b"' NOT NULL`,
  ],
  [
    'ALTER TABLE "events_streams" ADD COLUMN "leased_until" timestamp with time zone DEFAULT now();',
    "events_streams",
    "leased_until",
    "timestamp with time zone DEFAULT now()",
  ],
  [
    'ALTER TABLE "events_correlated" ADD COLUMN "Odd name" numeric(10, 2);',
    "events_correlated",
    "Odd name",
    "numeric(10, 2)",
  ],
  [
    'ALTER TABLE "events" ADD COLUMN "kind" text GENERATED ALWAYS AS (\n  "name"\n) STORED;',
    "events",
    "kind",
    'text GENERATED ALWAYS AS (\n  "name"\n) STORED',
  ],
])(
  "a statement that adds a column is read with its table, name and definition: %s",
  (sql, name, column, definition) => {
    expect(toStep(sql, "events")).toEqual({
      kind: "columns",
      name,
      sql,
      columns: [{ name: column, definition }],
    });
  },
);

test("a comment before a statement is left out", () => {
  const sql = 'ALTER TABLE "events" ADD COLUMN "token" uuid;';
  expect(toStep(`-- Why it is there.\n-- And more.\n${sql}`, "events")).toMatchObject({
    kind: "columns",
    sql,
  });
});

test("a statement that creates an index is read with its name, its table and whether it is unique", () => {
  const on = 'ON "events" USING btree ("stream","version");';
  const made = toStep(`CREATE INDEX "events_a_ix" ${on}`, "events");
  expect(made).toMatchObject({ kind: "index", name: "events_a_ix", table: "events", unique: false });
  const unique = toStep(`CREATE UNIQUE INDEX IF NOT EXISTS "events_a_ix" ${on}`, "events");
  expect(unique).toMatchObject({ kind: "index", name: "events_a_ix", table: "events", unique: true });
});

test("storage options are read one by one", () => {
  const sql = 'ALTER TABLE "events_streams" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);';
  expect(toStep(sql, "events")).toMatchObject({
    kind: "storage",
    name: "events_streams",
    options: [
      { name: "fillfactor", value: "50" },
      { name: "autovacuum_vacuum_scale_factor", value: "0.01" },
    ],
  });
});

test.each(["orders", "Mixed_Case", "token", "events_2"])(
  "statements use the names of the store %s",
  (table) => {
    expect(toStep('ALTER TABLE "events" ADD COLUMN "token" uuid;', table)).toMatchObject({
      name: table,
      sql: `ALTER TABLE "${table}" ADD COLUMN "token" uuid;`,
      columns: [{ name: "token", definition: "uuid" }],
    });
    expect(toStep('ALTER TABLE "events_streams" ADD COLUMN "lane" text;', table).name).toBe(
      `${table}_streams`,
    );
    const index = 'CREATE INDEX "events_streams_at_ix" ON "events_streams" USING btree ("at");';
    expect(toStep(index, table)).toMatchObject({ name: `${table}_streams_at_ix`, table: `${table}_streams` });
  },
);

test("beside int4 ids only new columns that hold ids are int4, whether created or added", () => {
  const narrow = { narrow: true };
  const added = 'ALTER TABLE "events_streams" ADD COLUMN "seen_at" bigint NOT NULL;';
  expect(toStep(added, "log", narrow)).toMatchObject({
    sql: 'ALTER TABLE "log_streams" ADD COLUMN "seen_at" integer NOT NULL;',
    columns: [{ name: "seen_at", definition: "integer NOT NULL" }],
  });
  expect(toStep(added.replace("COLUMN", "COLUMN IF NOT EXISTS"), "log", narrow)).toMatchObject({
    columns: [{ name: "seen_at", definition: "integer NOT NULL" }],
  });
  expect(toStep(added, "log")).toMatchObject({ columns: [{ definition: "bigint NOT NULL" }] });

  const table = `CREATE TABLE "events_correlated" (\n\t"key" text,\n\t"at" bigint DEFAULT '-1' NOT NULL\n);`;
  expect(toStep(table, "log", narrow)).toMatchObject({
    columns: [{ definition: "text" }, { definition: "integer DEFAULT '-1' NOT NULL" }],
  });
  const label = `ALTER TABLE "events" ADD COLUMN "label" text DEFAULT 'bigint';`;
  expect(toStep(label, "log", narrow)).toMatchObject({ columns: [{ definition: "text DEFAULT 'bigint'" }] });
});

test.each([
  'ALTER TABLE "events" DROP COLUMN "token";',
  'ALTER TABLE "events" ALTER COLUMN "name" SET NOT NULL;',
  'ALTER TABLE "events" ADD CONSTRAINT "events_token_unique" UNIQUE("token");',
  'ALTER TABLE "shop"."events" ADD COLUMN "token" uuid;',
  "UPDATE events SET token = null;",
])("a statement that could not be recognised as done is refused: %s", (sql) => {
  expect(() => toStep(sql, "events")).toThrow(`a statement that seed() does not understand: ${sql}`);
});

test("every shipped statement can be read, for any store", () => {
  for (const table of ["events", "Mixed_Case"]) {
    const plan = migrationSteps(namesOf("public", table));
    expect(plan).toHaveLength(migrations.flatMap(({ statements }) => statements).length);
    expect(plan.filter(({ name }) => !name.startsWith(table))).toEqual([]);
  }
});
