/**
 * Every refusal in full, as users read it: refusals.txt. `UPDATE=1 npx vitest run test/input/refusals.test.ts`
 * writes it anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ValidationError } from "@rotorsoft/act";
import { beforeAll, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { outcomeOf, shown } from "./log.ts";
import { type Slot, slots, wrong } from "./slots.ts";

const fixture = useDatabase();
const golden = join(import.meta.dirname, "refusals.txt");
let store: PostgresStore;

beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "refusing", notify: true });
  await store.seed();
  if (process.env.UPDATE) writeFileSync(golden, `${(await refusals(slots)).join("\n")}\n`);
  return () => store.dispose();
});

async function refusal({ verb, path, call }: Slot, value: unknown): Promise<string> {
  const outcome = await outcomeOf(() => call(store, value as never));
  const error = "error" in outcome ? outcome.error : undefined;
  if (error && !(error instanceof ValidationError)) throw error;
  const said =
    error instanceof ValidationError
      ? `${error.target}: ${typeof error.details === "string" ? error.details : JSON.stringify(error.details)}`
      : "answered";
  return `${verb} ${path} ${shown(value)} | ${said}`;
}

const TEXTS: readonly string[] = ["text", "text?", "pattern?"];
const LISTS: readonly string[] = ["texts?", "input"];

async function refusals(places: readonly Slot[]): Promise<string[]> {
  const lines: string[] = [];
  for (const slot of places) {
    for (const value of wrong[slot.kind]) lines.push(await refusal(slot, value));
    if (slot.kind.endsWith("?")) lines.push(await refusal(slot, undefined));
    if (TEXTS.includes(slot.kind)) lines.push(await refusal(slot, "a\0b"));
    if (LISTS.includes(slot.kind)) lines.push(await refusal(slot, ["a\0b"]));
  }
  return lines;
}

const verbs = Map.groupBy(slots, ({ verb }) => verb);
const written = () => readFileSync(golden, "utf8").trimEnd().split("\n");

test.each([...verbs])(
  "each refusal of %s names the verb, the place, and what belongs there",
  async (verb) => {
    const lines = await refusals(verbs.get(verb) ?? []);
    expect(lines).toEqual(written().filter((line) => line.startsWith(`${verb} `)));
  },
);

test("refusals.txt holds nothing else", () => {
  expect([...new Set(written().map((line) => line.split(" ")[0]))].sort()).toEqual([...verbs.keys()].sort());
});
