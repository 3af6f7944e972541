/** `act-drizzle rebuild` on a module of the user's: what it prints, what is in the tables, and what it refuses. */
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { withBacklog } from "../admin/fixture.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { tables } from "../projections/fixture.ts";
import { runCommand } from "./command.ts";
import * as models from "./rebuilds.ts";

const fixture = useDatabase();
const MODULE = join(import.meta.dirname, "rebuilds.ts");
let made = 0;

/** A store with four events of which three are projected, empty read models, and the command on both. */
async function rebuilding() {
  const store = await withBacklog(fixture);
  const schema = `read_models_${made++}`;
  const here = (statement: string) => statement.replaceAll('"read_models"', `"${schema}"`);
  const { counters, totals, positions } = models;
  const statements = await tables({ counters, totals, positions });
  await fixture.sql.unsafe(`create schema "${schema}"`);
  for (const statement of statements) await fixture.sql.unsafe(here(statement));
  onTestFinished(async () => void (await fixture.sql.unsafe(`drop schema "${schema}" cascade`)));
  const { config } = store;
  const command = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    runCommand(["rebuild", ...args, "--schema", config.schema, "--table", config.table], {
      DATABASE_URL: fixture.url,
      READ_MODELS: schema,
      ...env,
    });
  const counted = async () => {
    const [row] = await fixture.sql.unsafe(`select sum(placed)::int as placed from "${schema}".counters`);
    return row?.placed;
  };
  return { command, counted };
}

test("it fills the tables, and says how far", async () => {
  const { command, counted } = await rebuilding();
  const { code, out, err } = await command(["counters", "--app", MODULE]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^counters: \d+ events applied, up to event \d+\. Handlers waited for \d+ ms\.\n$/);
  expect(out).toContain(`counters: ${await counted()} events applied`);
});

test("in place it says that handlers waited all the time", async () => {
  const { command } = await rebuilding();
  const { code, out } = await command(["totals", "--app", MODULE, "--in-place"]);
  expect(code).toBe(0);
  expect(out).toMatch(
    / events applied, up to event \d+\. Handlers waited from the beginning to the end\.\n$/,
  );
});

test("--json has a stable form", async () => {
  const { command } = await rebuilding();
  const { code, out } = await command(["totals", "--app", MODULE, "--in-place", "--json"]);
  expect(code).toBe(0);
  const { lockedMillis, ...stable } = JSON.parse(out);
  expect(lockedMillis).toBeTypeOf("number");
  expect(stable).toMatchSnapshot();
});

test("apply that throws fails it with its own error, and the next run goes on behind the last batch", async () => {
  const { command, counted } = await rebuilding();
  const failed = await command(["counters", "--app", MODULE], { THROWS: "2" });
  expect([failed.code, failed.out]).toEqual([1, ""]);
  expect(failed.err).toBe("act-drizzle: out of ink\n");
  expect(await counted()).toBe(null);
  const { code, out } = await command(["counters", "--app", MODULE]);
  expect(code).toBe(0);
  expect(out).toMatch(/^It went on after event \d+, where a rebuild had stopped\.\n/);
  expect(await counted()).toBeGreaterThan(1);
});

test("on postgres.js it ends by itself, after success and after an error", async () => {
  const { command, counted } = await rebuilding();
  const failed = await command(["counters", "--app", MODULE], { THROWS: "2", DRIVER: "postgres.js" });
  expect(failed).toEqual({ code: 1, out: "", err: "act-drizzle: out of ink\n" });
  const { code } = await command(["counters", "--app", MODULE], { DRIVER: "postgres.js" });
  expect(code).toBe(0);
  expect(await counted()).toBeGreaterThan(1);
});

test("Ctrl+C stops it after a batch, and it says that it will go on", async () => {
  const { command, counted } = await rebuilding();
  const { code, err } = await command(["counters", "--app", MODULE], { STOPS: "1" });
  expect([code, err]).toEqual([130, "act-drizzle: stopped\nRun it again: it goes on where it stopped.\n"]);
  expect(await counted()).toBe(null);
});

test.each([
  ["no module", ["counters"], /required option '--app <module>' not specified/],
  ["a module that is not there", ["--app", "./nowhere.js"], /nowhere\.js cannot be imported/],
  ["a module without one", ["--app", join(import.meta.dirname, "command.ts")], /export rebuildable\(/],
  ["no name of several", ["--app", MODULE], /exports several projections, name one: counters, totals/],
  ["another name", ["sums", "--app", MODULE], /exports no projection "sums": it has counters, totals/],
  ["batches of nothing", ["totals", "--app", MODULE, "--batch-size", "0"], /whole number above 0/],
  ["batches too large", ["totals", "--app", MODULE, "--batch-size", "100001"], /At most 100000/],
])("%s is wrong use", async (_, args, says) => {
  const { code, out, err } = await runCommand(["rebuild", ...args], { DATABASE_URL: fixture.url });
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(says);
  expect(err).not.toContain("This is a fault of the command");
});

test("tables of positions that are missing are told, with what to do", async () => {
  const { command } = await rebuilding();
  const { code, err } = await command(["totals", "--app", MODULE], { READ_MODELS: "nowhere" });
  expect(code).toBe(1);
  expect(err).toMatch(/act_positions is missing.*drizzle-kit push/);
});
