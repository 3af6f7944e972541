/** The table of positions, made by drizzle-kit from a user's schema file. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { getTableConfig } from "drizzle-orm/pg-core";
import { expect, onTestFinished, test } from "vitest";
import { actPositions } from "../../src/projections/index.ts";
import { runMigrations } from "../migrations/project.ts";
import { connect, createDatabase } from "../support/database.ts";

const root = join(import.meta.dirname, "../..");

/** A project whose schema has nothing but the positions. */
function project(url: string, options: string) {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-positions-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const migrations = join(folder, "drizzle");
  mkdirSync(migrations);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  const schema = join(folder, "schema.ts");
  const module = join(root, "src/projections/index.ts").replaceAll("\\", "/");
  writeFileSync(
    schema,
    `import { actPositions } from ${JSON.stringify(module)};\nexport const positions = actPositions(${options});\n`,
  );
  const config = join(folder, "drizzle.config.json");
  const out = relative(root, migrations);
  writeFileSync(config, JSON.stringify({ dialect: "postgresql", schema, out, dbCredentials: { url } }));
  const kit = async (...command: string[]) => {
    const args = [
      join(root, "node_modules/drizzle-kit/bin.cjs"),
      ...command,
      "--config",
      relative(root, config),
    ];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root });
    return stdout + stderr;
  };
  return { kit, migrations };
}

async function database() {
  const { url, drop } = await createDatabase();
  const sql = connect(url);
  onTestFinished(async () => {
    await sql.end();
    await drop();
  });
  return { url, sql };
}

test("drizzle-kit pushes the positions once, and then finds nothing to do", async () => {
  const { url, sql } = await database();
  const { kit } = project(url, "");
  expect(await kit("push", "--force")).toContain("[✓] Changes applied");
  expect(await kit("push", "--force")).toContain("No changes detected");
  await sql`insert into act_positions (projection, target) values ('p', 't')`;
  const [row] = await sql`select at::int, handlers, generation from act_positions`;
  expect(row).toEqual({ at: -1, handlers: null, generation: 0 });
});

test("drizzle-kit generates a migration of the positions, which Drizzle runs", async () => {
  const { url, sql } = await database();
  const { kit, migrations } = project(url, `{ table: "done" }`);
  await kit("generate");
  await kit("generate");
  expect(readdirSync(migrations).filter((file) => file.endsWith(".sql"))).toHaveLength(1);
  await runMigrations(url, migrations);
  await sql`insert into done (projection, target) values ('p', 't')`;
  await expect(sql`insert into done (projection, target) values ('p', 't')`).rejects.toThrow(
    "done_target_ix",
  );
});

test("the positions have the schema and the name that were asked for", () => {
  expect(getTableConfig(actPositions({ schema: "shop", table: "done" }))).toMatchObject({
    schema: "shop",
    name: "done",
  });
  expect(getTableConfig(actPositions())).toMatchObject({ schema: undefined, name: "act_positions" });
});
