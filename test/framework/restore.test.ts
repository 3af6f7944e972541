/** Restoring a log: through a CSV file, and straight from another store. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { act, CsvFile, state } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { actor, on, settled, stopping, useApps } from "./fixture.ts";

const fixture = useApps();

const Note = state({ Note: z.object({ text: z.string(), count: z.number() }) })
  .init(() => ({ text: "", count: 0 }))
  .emits({ Written: z.object({ text: z.string(), at: z.date() }) })
  .patch({ Written: ({ data }, { count }) => ({ text: data.text, count: count + 1 }) })
  .on({ write: z.object({ text: z.string(), at: z.date() }) })
  .emit("Written")
  .snap(({ patches }) => patches >= 4)
  .build();

const notes = (store: PostgresStore) =>
  act()
    .withState(Note)
    .on("Written")
    .do(async function index(event, target) {
      await fixture.note(`${store.config.table}-${target}`, event);
    })
    .to(({ stream }) => ({ target: `index-${stream}`, source: stream }))
    .build(on(store));

/** What is hard on a CSV file. */
const texts = [
  'plain, with "quotes"',
  "two\nlines\r\nand more",
  "ünïcode ✓ 𝄞",
  "",
  "'; drop table x; --",
  "\\n,\\t",
];

async function filled(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const app = stopping(notes(store));
  for (const [n, text] of texts.entries())
    for (const stream of ["a", "b"])
      await app.do("write", { stream, actor }, { text, at: new Date(Date.UTC(2024, 0, 1 + n)) });
  await expect
    .poll(async () => (await fixture.events(store)).filter(({ name }) => name === "__snapshot__").length)
    .toBe(2);
  await settled(app);
  return store;
}

/** The log by what a restore keeps: all but the ids, which it makes dense. */
const content = (store: PostgresStore, where = "true") =>
  fixture.sql.unsafe(
    `select name, stream, version, data, meta, created, dates
     from "${store.config.schema}"."${store.config.table}" where ${where} order by id`,
  );

const withoutSnapshots = "name <> '__snapshot__'";

test("a log goes through a CSV file unchanged", async () => {
  const source = await filled();
  const folder = await mkdtemp(join(tmpdir(), "act-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "log.csv");
  // The app writes the log of its own store into the file.
  const exporter = stopping(notes(source));
  const { kept } = await exporter.restore(source, {}, new CsvFile({ path }));
  expect(kept).toBe(12);

  const copy = await fixture.seeded();
  const app = stopping(notes(copy));
  await app.do("write", { stream: "wiped", actor }, { text: "gone", at: new Date(0) });
  expect((await app.restore(new CsvFile({ path }))).kept).toBe(12);
  expect(await fixture.sql`select id::int from ${fixture.table(copy)} order by id`).toEqual(
    Array.from({ length: 12 }, (_, n) => ({ id: n + 1 })),
  );
  const columns = (rows: readonly Record<string, unknown>[]) => rows.map(({ dates: _, ...row }) => row);
  expect(columns(await content(copy))).toEqual(columns(await content(source, withoutSnapshots)));
  expect((await app.load(Note, "a")).state).toEqual({ text: texts.at(-1), count: texts.length });
  // Reactions of the copy start over, and see it all.
  await settled(app);
  expect(await fixture.worked(`${copy.config.table}-index-`)).toHaveLength(12);
  expect(await fixture.unfinished(copy)).toEqual([]);
});

test("a log goes from one store to another, with Dates, causes and times", async () => {
  const source = await filled();
  const copy = await fixture.seeded();
  const app = stopping(notes(copy));
  const { kept } = await app.restore(source);
  expect(kept).toBe(12);
  expect(await content(copy)).toEqual(await content(source, withoutSnapshots));
  const [first] = await app.query_array({ stream: "^a$", limit: 1 });
  expect(first?.data).toEqual({ text: texts[0], at: new Date(Date.UTC(2024, 0, 1)) });
  // Actions go on at the restored versions.
  await app.do("write", { stream: "a", actor }, { text: "next", at: new Date() });
  const versions = (await fixture.events(copy, "a")).map(({ version }) => version);
  expect(versions.at(-1)).toBe(Number(versions.at(-2)) + 1);
});

test("streams are renamed on the way, and the state is found under the new name", async () => {
  const source = await filled();
  const copy = await fixture.seeded();
  const app = stopping(notes(copy));
  await app.restore(source, { stream_rename: (stream) => `eu-${stream}` });
  const rows = await fixture.sql`select distinct stream from ${fixture.table(copy)} order by 1`;
  expect(rows.map(({ stream }) => stream)).toEqual(["eu-a", "eu-b"]);
  expect((await app.load(Note, "eu-b")).state.count).toBe(texts.length);
});

test("a restore that fails half-way leaves log and subscriptions as they were", async () => {
  const store = await filled();
  const events = await fixture.events(store);
  const subscriptions = await fixture.subscriptions(store);
  const header = "id,name,data,stream,version,created,meta";
  const meta = '"{""correlation"":""c"",""causation"":{}}"';
  const good = `1,Written,"{""text"":""x""}",s,0,2024-01-01T00:00:00.000Z,${meta}`;
  const bad = `2,Written,"{""text"":""x""}",s,-5,2024-01-01T00:00:00.000Z,${meta}`;
  const app = stopping(notes(store));
  await expect(app.restore(new CsvFile({ blob: [header, good, bad, ""].join("\n") }))).rejects.toThrow();
  expect(await fixture.events(store)).toEqual(events);
  expect(await fixture.subscriptions(store)).toEqual(subscriptions);
});
