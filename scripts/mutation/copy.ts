/** The copy of the project in which the sources hold every mutant, all switched off. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Mutant, mutate } from "./mutants.ts";

const FOLDERS = ["src/values", "src/events", "src/subscriptions"];
const ENTRIES = ["src", "test", "examples", "scripts", "drizzle", "package.json", "tsconfig.json"];

export type Copy = { readonly folder: string; readonly mutants: readonly Mutant[]; remove(): void };

export async function makeCopy(root: string): Promise<Copy> {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-mutation-"));
  for (const entry of ENTRIES) cpSync(join(root, entry), join(folder, entry), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const mutants: Mutant[] = [];
  const seen = new Map<string, number>();
  let sql = 0;
  let other = 0;
  for (const file of FOLDERS.flatMap((dir) => readdirSync(join(root, dir)).map((name) => `${dir}/${name}`))) {
    const path = join(folder, file);
    const mutated = await mutate(
      file,
      readFileSync(path, "utf8"),
      () => `s${sql++}`,
      () => String(other++),
    );
    writeFileSync(path, mutated.content);
    for (const mutant of mutated.mutants) {
      const count = (seen.get(mutant.key) ?? 0) + 1;
      seen.set(mutant.key, count);
      mutants.push(count === 1 ? mutant : { ...mutant, key: `${mutant.key} | again ${count}` });
    }
  }
  return { folder, mutants, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
