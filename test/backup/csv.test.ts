/** The framework's CSV: what we write it reads, what it writes we read, and both write the same bytes. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import {
  act,
  type Committed,
  CsvFile,
  type EventSource,
  InMemoryCache,
  InMemoryStore,
  type Schemas,
} from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import { Admin, ExportError, LogNotEmptyError } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const meta = { correlation: "c", causation: {} };
const caused = (id: number) => ({
  correlation: 'c,"quoted"',
  causation: { event: { id, name: "Placed", stream: "a" } },
});

async function textOf(source: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const part of source) text += part;
  return text;
}
const csvOf = (store: PostgresStore) => textOf(new Admin(store).export({ format: "csv" }));
const importCsv = (store: PostgresStore, text: string, options = {}) =>
  new Admin(store).import(Readable.from([text]), { format: "csv", ...options });

/** Gaps in the ids, causes, quotes, commas, dates, a snapshot, pii, microseconds, text of several scripts. */
async function variedStore(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { table } = store.config;
  await store.commit("gap", [{ name: "Gone", data: {} }], meta);
  await store.commit("a", [{ name: "Placed", data: { at: new Date(0), text: 'ü,"\\\n' } }], meta);
  await store.commit("gap", [{ name: "Gone", data: {} }], meta);
  await store.commit(
    'b,"x"',
    [{ name: "Joined, twice", data: {}, pii: { mail: "ada@example.org" } }],
    caused(2),
  );
  await store.commit("a", [{ name: "__snapshot__", data: { n: 1.5e300 } }], caused(4));
  await store.commit("a", [{ name: "Placed", data: { list: [null, -0.1, []] } }], caused(1));
  await fixture.sql.unsafe(`delete from ${table} where stream = 'gap'`);
  await fixture.sql.unsafe(`update ${table} set created = '2026-01-02T03:04:05.678901Z' where id = 4`);
  return store;
}

/** What the framework writes of a store, if the source adds the snapshots: without that it leaves them out. */
async function byFramework(store: PostgresStore): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "act-drizzle-csv-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "log.csv");
  const app = act().build({ scoped: { store: new InMemoryStore(), cache: new InMemoryCache() } });
  onTestFinished(() => app.shutdown());
  const source: EventSource = {
    query: (callback, filter) => store.query(callback, { ...filter, with_snaps: true }),
    dispose: async () => {},
  };
  await app.restore(source, {}, new CsvFile({ path }));
  return readFile(path, "utf8");
}

async function eventsOf(source: { query: PostgresStore["query"] }): Promise<Committed<Schemas, string>[]> {
  const found: Committed<Schemas, string>[] = [];
  await source.query((event) => void found.push(event as Committed<Schemas, string>));
  return found;
}

test("an export has the bytes that the framework writes", async () => {
  const store = await variedStore();
  expect(await csvOf(store)).toBe(await byFramework(store));
});

test("an export of several pages has the bytes that the framework writes, and follows causes over gaps", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table} (id, name, data, stream, version, meta)
    overriding system value
    select n + n / 7 * 3, 'N', '{}', 's' || n % 10, n / 10, jsonb_build_object('correlation', 'c', 'causation',
      jsonb_build_object('event', jsonb_build_object('id', greatest(0, n - 11), 'name', 'N', 'stream', 's')))
    from generate_series(0, 4999) n`);
  const text = await csvOf(store);
  expect(text.split("\n")).toHaveLength(5_002);
  expect(text).toBe(await byFramework(store));
});

test.each(["infinity", "-infinity", "294276-12-31T23:59:59Z"])(
  "an export ends with an error that names an event of the time %s, which no CSV file holds",
  async (created) => {
    const store = await variedStore();
    await fixture.sql.unsafe(`update ${store.config.table} set created = '${created}' where id = 5`);
    const failure = await csvOf(store).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ExportError);
    expect(failure).toMatchObject({ id: 5, stream: "a", version: 1 });
    expect(String(failure)).toMatch(/event 5 \(stream "a", version 1\): .* export JSON lines/);
  },
);

test("the framework reads what is exported", async () => {
  const store = await variedStore();
  const read = await eventsOf(new CsvFile({ blob: await csvOf(store) }) as never);
  expect(read.map(({ id, stream, name }) => [id, stream, name])).toEqual([
    [1, "a", "Placed"],
    [2, 'b,"x"', "Joined, twice"],
    [3, "a", "__snapshot__"],
    [4, "a", "Placed"],
  ]);
  expect(read[1]?.meta.causation.event?.id).toBe(1);
});

test("what the framework wrote is imported, and exported again byte by byte", async () => {
  const text = await byFramework(await variedStore());
  const target = await fixture.seeded();
  expect(await importCsv(target, text)).toEqual({ events: 4, lastId: 4 });
  expect(await csvOf(target)).toBe(text);
  const [next] = await target.commit("a", [{ name: "Next", data: {} }], meta);
  expect([next?.id, next?.version]).toEqual([5, 3]);
});

test("an import gives the events that the framework's own restore gives", async () => {
  const text = await csvOf(await variedStore());
  const [ours, theirs] = [await fixture.seeded(), await fixture.seeded()];
  await importCsv(ours, text);
  const app = act().build({ scoped: { store: theirs, cache: new InMemoryCache() } });
  onTestFinished(() => app.shutdown());
  await app.restore(new CsvFile({ blob: text }));
  expect(await eventsOf(ours)).toEqual(await eventsOf(theirs));
});

test("numbers that no double holds stay what they are, and a name may hold a line break", async () => {
  const target = await fixture.seeded();
  const head = "id,name,data,stream,version,created,meta\r\n";
  const at = "2026-01-01T00:00:00.000Z";
  await importCsv(target, `${head}1,N,"{""n"":12345678901234567890.5}","two\nlines",0,${at},{}\r\n\r\n`);
  const [row] = await fixture.sql.unsafe(`select stream, data::text as data from ${target.config.table}`);
  expect(row).toEqual({ stream: "two\nlines", data: '{"n": 12345678901234567890.5}' });
});

describe("an import is refused, and names the line", () => {
  const HEAD = "id,name,data,stream,version,created,meta";
  const at = "2026-01-01T00:00:00.000Z";
  test.each([
    ["", "line 1: the header is missing"],
    ["id,name\n", "line 1: this is no CSV file of the framework"],
    [`${HEAD}\n1,N,{},s,0,${at}\n`, "line 2: there are 6 fields where 7 are needed"],
    [`${HEAD}\n1,N,{},s"x,0,${at},{}"\n`, "line 2: there are no fields where 7 are needed"],
    [`${HEAD}\nx,N,{},s,0,${at},{}\n`, 'line 2 (stream "s", version 0): id is missing or of a wrong type'],
    [`${HEAD}\n1,N,{},s,-1,${at},{}\n`, "version is missing or of a wrong type"],
    [`${HEAD}\n1,N,{secret,s,0,${at},{}\n`, "data is missing or of a wrong type"],
    [`${HEAD}\n1,N,{},s,0,soon,{}\n`, "created is missing or of a wrong type"],
    [
      `${HEAD}\n1,N,{},s,0,${at},{}\n2,N,{},s,0,${at},{}\n`,
      'line 3 (stream "s", version 0): this version was there before',
    ],
    [`${HEAD}\n2,N,{},s,0,${at},{}\n1,N,{},t,0,${at},{}\n`, "ids must ascend"],
    [`${HEAD}\n1,N,"{},s,0,${at},{}\n`, "a quoted field has no end: the file was cut off"],
  ])("%j", async (text, message) => {
    const target = await fixture.seeded();
    const failure = await importCsv(target, text).catch((error: unknown) => error);
    expect(String(failure)).toContain(message);
    expect(String(failure)).not.toContain("secret");
    expect(await fixture.rows(target)).toEqual([]);
  });

  test("soon, where one quote too many makes the rest of the file one field", async () => {
    const target = await fixture.seeded();
    const lines = `1,N,{},s,0,${at},${"x".repeat(200)}\n`.repeat(15_000);
    const start = performance.now();
    await expect(importCsv(target, `${HEAD}\n"\n${lines}`)).rejects.toThrow("a quoted field has no end");
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test("into a log that is not empty, and never beside what is there", async () => {
    const store = await variedStore();
    const text = await csvOf(store);
    await expect(importCsv(store, text)).rejects.toThrow("the log is not empty");
    await expect(importCsv(store, text)).rejects.toBeInstanceOf(LogNotEmptyError);
    await expect(importCsv(store, text, { mode: "merge" })).rejects.toThrow("cannot be merged");
    expect(await importCsv(store, text, { mode: "replace", dryRun: true })).toMatchObject({ events: 4 });
    await importCsv(store, text, { mode: "replace" });
    expect(await csvOf(store)).toBe(text);
  });
});
