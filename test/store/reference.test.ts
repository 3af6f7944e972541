/** The reference of the verbs is complete, and what it shows compiles. So do the examples in docstrings. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file: string) => readFile(join(root, file), "utf8");
const blocks = (text: string) => [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code ?? "");

/** What the compiler says of `files`, which import the store as a user does. */
async function compile(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "act-drizzle-docs-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const compilerOptions = {
    ...{
      module: "preserve",
      moduleResolution: "bundler",
      target: "es2024",
      lib: ["es2024"],
      types: ["node"],
    },
    ...{ strict: true, noEmit: true, skipLibCheck: true, allowImportingTsExtensions: true },
    paths: { "act-drizzle": [join(root, "src/index.ts")] },
  };
  const settings = { compilerOptions, files: Object.keys(files) };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const done = await promisify(execFile)(process.execPath, [tsc, "-p", folder]).catch((error) => error);
  return String(done.stdout);
}

const verbs = Object.entries(Object.getOwnPropertyDescriptors(PostgresStore.prototype))
  .filter(([name, { value }]) => typeof value === "function" && !["constructor", "toJSON"].includes(name))
  .map(([name]) => name);

test("every verb has a section with its signature, a description and an example", async () => {
  const sections = (await read("docs/reference/verbs.md")).split(/^### /m).slice(1);
  const names = sections.map((section) => /^`(\w+)`/.exec(section)?.[1]);
  expect(names.sort()).toEqual([...verbs, "ddl", "notify", "tables"].sort());
  for (const section of sections)
    expect(section).toMatch(/^`(\w+)`\n\n`.*\1.*`\n\n[A-Z][^`].*```ts\n.*```\n/s);
});

test("every verb has a docstring of the store's own", async () => {
  const source = await read("src/store.ts");
  for (const verb of [...verbs, "notify", "tables", "ddl"])
    expect(source, verb).toMatch(
      new RegExp(`\\*/\\n(?:  //.*\\n)?  (?:declare readonly |get |static )?${verb}[?<(]`),
    );
});

test("the examples of the reference and of the docstrings compile", async () => {
  // The page's blocks are one program.
  const page = blocks(await read("docs/reference/verbs.md"));
  expect(page.length).toBeGreaterThan(20);
  const lines = [...(await read("src/store.ts")).matchAll(/^ {3}\* @example (.+)$/gm)].map(
    ([, code]) => code,
  );
  expect(lines.length).toBeGreaterThan(15);
  const docstrings = `import { writeFileSync } from "node:fs";
import type { Committed, Schemas } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
declare const backup: Committed<Schemas, string>[];
const store = new PostgresStore();
declare const request: { readonly headers: Readonly<Record<string, string | undefined>> };
${lines.join("\n")}
`;
  const [errors = ""] = blocks(await read("docs/reference/errors.md"));
  expect(
    await compile({ "verbs.ts": page.join("\n"), "docstrings.ts": docstrings, "errors.ts": errors }),
  ).toBe("");
});
