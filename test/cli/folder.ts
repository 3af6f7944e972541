/** A folder of a test's own, with an app in it, as a user has one. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const root = join(import.meta.dirname, "../..");

/** It reacts to what the log holds. */
const APP = `import { act, state } from "@rotorsoft/act";
import { z } from "zod";
const Order = state({ Order: z.object({}) }).init(() => ({}))
  .emits({ Placed: z.object({ total: z.number(), lines: z.array(z.string()) }) })
  .on({ place: z.object({}) }).emit(() => ["Placed", { total: 1, lines: [] }])
  .build();
export const app = act().withState(Order).on("Placed").do(async function count() {}).to("counter").build();
`;

/** Words of a command line, with `./name` in that folder. It goes when the test ends. */
export function inFolder(): (words: readonly string[]) => string[] {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  writeFileSync(join(folder, "app.mjs"), APP);
  return (words) => words.map((word) => (word.startsWith("./") ? join(folder, word) : word));
}
