/**
 * `npm run generate:docs`: writes every generated part of the docs, or only those whose names are given. `--check` writes
 * nothing and fails when one is stale. To add a part: a marker in the page (see docs/generator.ts), and a line below.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchmarkParts } from "./docs/benchmarks.ts";
import { conformanceTable } from "./docs/conformance.ts";
import { defectsTable } from "./docs/defects.ts";
import { faultTable } from "./docs/faults.ts";
import { fill, type Generator } from "./docs/generator.ts";
import { optionTables } from "./docs/options.ts";
import { exitOnErrors } from "./exit-on-errors.ts";

const generators: readonly Generator[] = [
  ...optionTables,
  conformanceTable,
  faultTable,
  defectsTable,
  ...benchmarkParts,
];

const root = join(import.meta.dirname, "..");
const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");

function choose(only: readonly string[]): readonly Generator[] {
  const unknown = only.filter((name) => generators.every((generator) => generator.name !== name));
  if (unknown.length > 0) throw new Error(`no part of the docs is called ${unknown.join(" or ")}`);
  return only.length === 0 ? generators : generators.filter(({ name }) => only.includes(name));
}

/** What the files are to contain, by path from the root. */
async function render(chosen: readonly Generator[]): Promise<ReadonlyMap<string, string>> {
  const wanted = new Map<string, string>();
  for (const { file, name, render, files } of chosen) {
    try {
      wanted.set(file, fill(wanted.get(file) ?? read(join(root, file)), name, await render()));
      for (const [path, content] of (await files?.()) ?? []) wanted.set(path, content);
    } catch (error) {
      throw new Error(`${file}, ${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return wanted;
}

async function stale(only: readonly string[]): Promise<(readonly [path: string, content: string])[]> {
  return [...(await render(choose(only)))].filter(([path, content]) => read(join(root, path)) !== content);
}

/** Writes what is stale; returns the paths. */
export async function writeDocs({ only = [] }: { only?: readonly string[] } = {}): Promise<string[]> {
  const written = await stale(only);
  for (const [path, content] of written) writeFileSync(join(root, path), content);
  return written.map(([path]) => path);
}

if (import.meta.main) {
  exitOnErrors();
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { check: { type: "boolean", default: false } },
  });
  if (values.check) {
    const paths = (await stale(positionals)).map(([path]) => path);
    for (const path of paths) console.error(`${path} is stale: run "npm run generate:docs" and commit it`);
    if (paths.length === 0) console.log("the generated parts of the docs are up to date");
    process.exitCode = paths.length > 0 ? 1 : 0;
  } else {
    const paths = await writeDocs({ only: positionals });
    console.log(paths.length > 0 ? `written: ${paths.join(", ")}` : "everything was up to date");
  }
}
