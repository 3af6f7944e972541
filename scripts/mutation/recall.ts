/** What earlier runs have learned of each test, so long as neither the sources nor its file have changed. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Covered } from "./messages.ts";

/** What runs have found. Not among the modules: `npm ci` would delete what took hours. */
export const MEMORY = join(import.meta.dirname, "../../reports/mutation");

type Remembered = Covered & { readonly print: string };
export type Recalled = {
  readonly tests: ReadonlyMap<string, Covered>;
  save(tests: readonly Covered[]): void;
};

/** `folder` is the copy: its sources hold the mutants, whose ids must be the same. */
export function recallCover(folder: string): Recalled {
  const path = join(MEMORY, "cover.json");
  const hash = createHash("sha1");
  for (const name of readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" }).sort())
    if (name.endsWith(".ts")) hash.update(readFileSync(join(folder, "src", name)));
  const sources = hash.digest("hex");
  const prints = new Map<string, string>();
  const printOf = (file: string) => {
    const print =
      prints.get(file) ??
      createHash("sha1")
        .update(sources)
        .update(readFileSync(join(folder, file)))
        .digest("hex");
    prints.set(file, print);
    return print;
  };
  let known: Remembered[] = [];
  try {
    known = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // The first run.
  }
  const fresh = known.filter(({ file, print }) => {
    try {
      return print === printOf(file);
    } catch {
      return false;
    }
  });
  return {
    tests: new Map(fresh.map((one) => [one.name, one])),
    save: (tests) => {
      mkdirSync(MEMORY, { recursive: true });
      writeFileSync(path, JSON.stringify(tests.map((one) => ({ ...one, print: printOf(one.file) }))));
    },
  };
}
