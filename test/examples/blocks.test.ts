/** Every TypeScript block of the README and of the docs compiles, as a reader would put it together. */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sourcesOfEntries } from "../../dev/entries.ts";
import { COMPILERS, compile } from "../support/typescript.ts";
import { filesOf } from "./blocks.ts";

const root = join(import.meta.dirname, "../..");
// Its blocks share one store: test/store/reference.test.ts compiles them together.
const VERBS = join("docs/reference/verbs.md");
const pages = ["*.md", "docs/**/*.md", "examples/**/*.md"]
  .flatMap((glob) => globSync(glob, { cwd: root }))
  // A built API reference repeats the docstrings.
  .filter((page) => page !== VERBS && !page.startsWith("docs/api/"));
let home: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "act-drizzle-blocks-"));
  symlinkSync(join(root, "node_modules"), join(home, "node_modules"), "junction");
  for (const page of pages)
    for (const [path, text] of filesOf(readFileSync(join(root, page), "utf8"))) {
      const file = join(home, page, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  const compilerOptions = {
    module: "nodenext",
    target: "es2024",
    lib: ["es2024", "dom"],
    types: ["node"],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    paths: Object.fromEntries([...sourcesOfEntries()].map(([name, url]) => [name, [fileURLToPath(url)]])),
  };
  const config = { compilerOptions, include: ["**/*.ts"], exclude: ["node_modules"] };
  writeFileSync(join(home, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(home, "tsconfig.json"), JSON.stringify(config));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

test.each(COMPILERS)("they compile with TypeScript $version", ({ manifest }) => {
  expect(compile(manifest, "tsconfig.json", home)).toBe("");
});

test("a block that calls something that does not exist is found", () => {
  const page = '```ts\nnew PostgresStore({ hots: "a" });\n```\n';
  expect([...filesOf(page)]).toEqual([
    [
      "block-1.ts",
      'import { PostgresStore } from "act-drizzle";\nnew PostgresStore({ hots: "a" });\n\nexport {};\n',
    ],
  ]);
});

test("blocks that name the same file are put together, behind what the reader has in it", () => {
  const page =
    "```ts\n// src/db/schema.ts\nconst a = 1;\n```\n\n```ts\n// src/db/schema.ts, below\nconst b = a;\n```\n";
  const text = filesOf(page).get("src/db/schema.ts") ?? "";
  expect(text).toMatch(/users.*const a = 1;.*const b = a;/s);
});
