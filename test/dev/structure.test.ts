import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { tooLong, violations } from "../../scripts/check-structure.ts";

const root = join(import.meta.dirname, "../..");

test.each([
  ["events/query.ts", "../store.ts"],
  ["postgres/pool.ts", "../events/queue.ts"],
  ["schema/names.ts", "../context.ts"],
  ["subscriptions/ack.ts", "../events/append.ts"],
  ["errors.ts", "./postgres/index.ts"],
  ["events/query.ts", "postgres"],
  ["schema/names.ts", "drizzle-orm/pg-core"],
  ["store.ts", "act-drizzle/schema"],
  ["store.ts", "./schema/tables.ts"],
  ["helpers/list.ts", "../errors.ts"],
])("%s may not import %s", (file, from) => {
  expect(violations(file, `import {\n  thing,\n} from "${from}";\n`)).toHaveLength(1);
});

test("a file has 400 lines at most", () => {
  expect(tooLong("src/a.ts", "line\n".repeat(400))).toEqual([]);
  expect(tooLong("src/a.ts", "line\n".repeat(401))).toEqual([
    expect.stringContaining("src/a.ts has 401 lines"),
  ]);
});

test.each([
  ["store.ts", 'import { query } from "./events/query.ts";'],
  ["store.ts", 'import type { ActTables } from "./schema/tables.ts";'],
  ["events/query.ts", 'import { StoreConnections } from "../postgres/index.ts";'],
  [
    "events/query.ts",
    '/**\n * import { a } from "act-drizzle/schema";\n */\nimport { b } from "./queue.ts";',
  ],
  ["postgres/connection.ts", 'import postgres from "postgres";'],
  ["schema/tables.ts", 'export { sql } from "drizzle-orm";'],
])("%s may say %s", (file, text) => {
  expect(violations(file, text)).toEqual([]);
});

test("a type import and a dynamic import count, too", () => {
  expect(violations("values/time.ts", 'import type { A } from "../store.ts";')).toHaveLength(1);
  expect(violations("values/time.ts", 'await import("../store.ts");')).toHaveLength(1);
});

test("the linter refuses an import cycle, of types too", async () => {
  const folder = await mkdtemp(join(root, "test/dev/cycle-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "a.ts"), 'import type { B } from "./b.ts";\nexport type A = { b?: B };\n');
  await writeFile(join(folder, "b.ts"), 'import type { A } from "./a.ts";\nexport type B = { a?: A };\n');
  const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
  const { status, stdout, stderr } = spawnSync(process.execPath, [biome, "lint", folder], {
    cwd: root,
    encoding: "utf8",
  });
  expect(`${stdout}${stderr}`).toContain("noImportCycles");
  expect(status).not.toBe(0);
});
