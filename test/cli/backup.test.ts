/** Files that the command writes, and reads again. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { withBacklog } from "../admin/fixture.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { commandOn } from "./command.ts";

const fixture = useDatabase();

async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "act-drizzle-cli-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

test.each([".jsonl", ".jsonl.gz", ".jsonl.zst"])(
  "a log comes back from a %s file into a table that it creates",
  async (ending) => {
    const store = await withBacklog(fixture);
    const file = join(await temporaryFolder(), `log${ending}`);
    const written = await commandOn(fixture, store)("export", file);
    expect([written.code, written.out]).toEqual([0, `5 events in ${file}.\n`]);
    const copy = { config: { ...store.config, table: `${store.config.table}_copy` } };
    const read = await commandOn(fixture, copy)("import", file);
    expect([read.code, read.out]).toEqual([0, "5 events were imported.\n"]);
    const both = async (target: typeof copy) => (await commandOn(fixture, target)("export", "-")).out;
    expect(await both(copy)).toBe(await both(store));
  },
);

test("a line that was changed is named, and nothing is imported", async () => {
  const store = await withBacklog(fixture);
  const file = join(await temporaryFolder(), "log.jsonl");
  await commandOn(fixture, store)("export", file);
  await writeFile(file, (await readFile(file, "utf8")).replace('"stream": "order-2"', '"stream": "order-1"'));
  const { code, err } = await commandOn(fixture, store)("import", file, "--mode", "replace", "--yes");
  expect(code).toBe(2);
  expect(err).toContain(
    'line 3 (stream "order-1", version 0): this version was there before. Nothing was imported.',
  );
  expect(await fixture.rows(store)).toHaveLength(5);
});

test("a log that is not empty is kept, and the modes are named", async () => {
  const store = await withBacklog(fixture);
  const file = join(await temporaryFolder(), "log.jsonl");
  await commandOn(fixture, store)("export", file);
  const { code, err } = await commandOn(fixture, store)("import", file);
  expect([code, err]).toEqual([
    2,
    "act-drizzle: The log is not empty: choose --mode replace, which deletes it, or --mode merge. Nothing was imported.\n",
  ]);
  expect(await fixture.rows(store)).toHaveLength(5);
});

test("what replaces the log is asked for", async () => {
  const store = await withBacklog(fixture);
  const file = join(await temporaryFolder(), "log.jsonl");
  await commandOn(fixture, store)("export", file);
  const { code, err } = await commandOn(fixture, store)("import", file, "--mode", "replace");
  expect(code).toBe(2);
  expect(err).toContain("The whole log, all subscriptions and all checkpoints are deleted first");
});

test("a file that is not there is named", async () => {
  const { code, err } = await commandOn(fixture, await fixture.seeded())(
    "import",
    "/nowhere/log.jsonl",
    "--dry-run",
  );
  expect([code, err]).toEqual([2, "act-drizzle: There is no file /nowhere/log.jsonl.\n"]);
});

test("a folder that is not there, and a file that is cut off, are no fault of the command", async () => {
  const store = await withBacklog(fixture);
  const path = await temporaryFolder();
  const written = await commandOn(fixture, store)("export", join(path, "nowhere", "log.jsonl"));
  expect([written.code, written.err]).toEqual([1, expect.stringContaining("ENOENT")]);
  const file = join(path, "log.jsonl.gz");
  await commandOn(fixture, store)("export", file);
  await writeFile(file, (await readFile(file)).subarray(0, -20));
  const read = await commandOn(fixture, store)("import", file, "--mode", "replace", "--yes");
  expect([read.code, read.err]).toEqual([1, expect.stringContaining("unexpected end of file")]);
  expect(written.err + read.err).not.toContain("This is a fault of the command");
});

test("closed streams move to a folder, and come back by import", async () => {
  const store = await withBacklog(fixture);
  await store.commit(
    "order-3",
    [{ name: "__tombstone__", data: {} }],
    { correlation: "c", causation: {} },
    0,
  );
  const path = await temporaryFolder();
  const command = commandOn(fixture, store);
  expect((await command("archive", path, "--dry-run")).out).toBe(
    "There is nothing to archive.\n1 streams stay, because subscriptions are still to handle events of them (see `act-drizzle lag` and `act-drizzle blocked`), or because no running app has correlated these events yet.\n",
  );
  const leases = await store.claim(10, 0, "w", 10_000);
  await store.ack(leases.map((lease) => ({ ...lease, at: 5 })));
  expect((await command("archive", path, "--dry-run")).out).toBe(
    "1 events of 1 streams are to be archived.\n",
  );
  const { code, out } = await command("archive", path, "--yes");
  expect(code).toBe(0);
  const [file = "", manifest] = (await readdir(path)).sort();
  expect(manifest).toBe(`${file}.manifest.json`);
  expect(out).toContain(file);
  expect(await fixture.rows(store)).toHaveLength(5);
  await command("import", join(path, file), "--mode", "merge", "--yes");
  expect(await fixture.rows(store)).toHaveLength(6);
  expect((await command("archive", path, "--dry-run")).out).toContain("1 events");
});

test("reap says what it would delete, and deletes it", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [{ name: "__tombstone__", data: {} }], { correlation: "c", causation: {} });
  await store.subscribe([{ stream: "done", source: "s" }]);
  await fixture.sql.unsafe(`update ${store.config.table} set created = now() - interval '9 days'`);
  const command = commandOn(fixture, store);
  expect((await command("reap", "--dry-run")).out).toBe(
    "1 subscriptions and 0 correlators are to be deleted.\n",
  );
  expect((await command("reap", "--yes", "--json")).out).toContain('"subscriptions": 1');
  expect((await command("reap")).out).toBe("There is nothing to delete.\n");
});

test.each([".csv", ".csv.gz"])("a %s file is the framework's own format, both ways", async (ending) => {
  const store = await withBacklog(fixture);
  const file = join(await temporaryFolder(), `log${ending}`);
  expect((await commandOn(fixture, store)("export", file)).code).toBe(0);
  const copy = { config: { ...store.config, table: `${store.config.table}_copy` } };
  const read = await commandOn(fixture, copy)("import", file);
  expect([read.code, read.out]).toEqual([0, "5 events were imported.\n"]);
  const csv = async (target: typeof copy) =>
    (await commandOn(fixture, target)("export", "-", "--format", "csv")).out;
  expect(await csv(copy)).toBe(await csv(store));
  expect(await csv(store)).toMatch(/^id,name,data,stream,version,created,meta\n1,Placed,/);
  const merged = await commandOn(fixture, store)("import", file, "--mode", "merge", "--yes");
  expect([merged.code, merged.err]).toEqual([2, expect.stringContaining("--mode empty or replace")]);
});
