/** Closing the books: by hand and by policy, with an archive, and on a rolling window. */
import { act, StreamClosedError, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { actor, on, settled, stopping, useApps } from "./fixture.ts";

const fixture = useApps();

const ticket = () =>
  state({ Ticket: z.object({ notes: z.number(), solved: z.boolean() }) })
    .init(() => ({ notes: 0, solved: false }))
    .emits({ Noted: z.object({ text: z.string() }), Solved: z.object({ how: z.string() }) })
    .patch({
      Noted: (_, { notes }) => ({ notes: notes + 1 }),
      Solved: () => ({ solved: true }),
    })
    .on({ note: z.object({ text: z.string() }) })
    .emit("Noted")
    .on({ solve: z.object({ how: z.string() }) })
    .emit("Solved");

const Ticket = ticket().build();

/** Copies a stream into a table of its own, as an archive elsewhere would be. */
async function archive(store: PostgresStore, stream: string): Promise<void> {
  await fixture.sql`create table if not exists archived (stream text, id int, name text, data jsonb, version int)`;
  await fixture.sql`
    insert into archived select stream, id, name, data, version from ${fixture.table(store)} where stream = ${stream}`;
}

const archived = (stream: string) =>
  fixture.sql<{ name: string; data: unknown; version: number }[]>`
    select name, data, version from archived where stream = ${stream} order by id`;

const shape = (rows: readonly { name: string; version: number; data: unknown }[]) =>
  rows.map(({ name, version, data }) => ({ name, version, data }));

test("the archive has every event before the first is deleted, and one tombstone is left", async () => {
  const store = await fixture.seeded();
  const app = stopping(act().withState(Ticket).build(on(store)));
  for (const text of ["a", "b", "c"]) await app.do("note", { stream: "old", actor }, { text });
  await app.do("note", { stream: "young", actor }, { text: "stays" });
  const before = await fixture.events(store, "old");

  const { truncated } = await app.close([{ stream: "old", archive: () => archive(store, "old") }]);
  expect(truncated.get("old")?.deleted).toBe(4);
  // The guard's tombstone was there when the archive ran.
  expect(shape(await archived("old")).slice(0, 3)).toEqual(shape(before));
  expect(shape(await fixture.events(store, "old"))).toEqual([
    { name: "__tombstone__", version: 0, data: {} },
  ]);
  expect(await fixture.events(store, "young")).toHaveLength(1);
  await expect(app.do("note", { stream: "old", actor }, { text: "late" })).rejects.toBeInstanceOf(
    StreamClosedError,
  );
});

test("an archive that fails costs no event, and the next close goes on", async () => {
  const store = await fixture.seeded();
  const app = stopping(act().withState(Ticket).build(on(store)));
  for (const text of ["a", "b"]) await app.do("note", { stream: "t", actor }, { text });
  const failing = async () => Promise.reject(new Error("archive is full"));
  await expect(app.close([{ stream: "t", archive: failing }])).rejects.toThrow("archive is full");
  expect((await fixture.events(store, "t")).map(({ name }) => name)).toEqual([
    "Noted",
    "Noted",
    "__tombstone__",
  ]);
  await app.close([{ stream: "t", archive: () => archive(store, "t") }]);
  expect((await archived("t")).map(({ name }) => name)).toEqual(["Noted", "Noted", "__tombstone__"]);
  expect((await fixture.events(store, "t")).map(({ name }) => name)).toEqual(["__tombstone__"]);
});

test("a policy closes a stream by itself, with its archive, once its reactions are done", async () => {
  const store = await fixture.seeded();
  const Closing = ticket()
    .autocloses({ is: "Solved" })
    .archives((stream) => archive(store, stream))
    .build();
  const app = stopping(
    act()
      .withState(Closing)
      .on("Noted")
      .do(async function count(event, target) {
        await fixture.note(target, event);
      })
      .to(({ stream }) => ({ target: `count-${stream}`, source: stream }))
      .build(on(store)),
  );
  for (const stream of ["done", "open"]) await app.do("note", { stream, actor }, { text: stream });
  await app.do("solve", { stream: "done", actor }, { how: "reboot" });
  await expect
    .poll(async () => {
      await settled(app, { leaseMillis: 50 });
      return (await fixture.events(store, "done")).map(({ name }) => name);
    })
    .toEqual(["__tombstone__"]);
  expect((await archived("done")).map(({ name }) => name)).toEqual(["Noted", "Solved", "__tombstone__"]);
  expect((await fixture.events(store, "open")).map(({ name }) => name)).toEqual(["Noted"]);
  expect((await fixture.worked("count-")).map(({ target }) => target).sort()).toEqual([
    "count-done",
    "count-open",
  ]);
});

test("a policy with a cooling time waits in the database, for whoever is there then", async () => {
  const store = await fixture.seeded();
  const Cooling = ticket()
    .autocloses({ is: "Solved", after: { days: 30 } })
    .build();
  const first = stopping(act().withState(Cooling).build(on(store)));
  await first.do("solve", { stream: "cool", actor }, { how: "patience" });
  await settled(first);
  const [{ created } = { created: 0 }] = await fixture.sql<{ created: number }[]>`
    select (extract(epoch from created) * 1000)::float8 as created from ${fixture.table(store)}`;
  const row = await fixture.subscription(store, "__autoclose__:cool");
  expect(row).toMatchObject({ source: "cool", due: created + 30 * 86_400_000 });
  await first.shutdown();

  // A month later, in another process.
  const { schema, table } = store.config;
  await fixture.sql`update ${fixture.table(store)} set created = created - interval '31 days'`;
  await fixture.sql`update ${fixture.sql(schema)}.${fixture.sql(`${table}_streams`)} set deferred_at = now()`;
  const next = stopping(
    act()
      .withState(Cooling)
      .build(on(fixture.beside(store))),
  );
  await expect
    .poll(async () => {
      await settled(next);
      return (await fixture.events(store)).map(({ name }) => name);
    })
    .toEqual(["__tombstone__"]);
});

test("a rolling window prunes what lies before the last snapshot out of it, and the state stays", async () => {
  const store = await fixture.seeded();
  const Rolling = ticket()
    .snap(({ patches }) => patches >= 3)
    .build();
  const app = stopping(act().withState(Rolling).build(on(store)));
  for (let n = 1; n <= 7; n++) await app.do("note", { stream: "roll", actor }, { text: `${n}` });
  await expect
    .poll(async () => (await fixture.events(store)).filter(({ name }) => name === "__snapshot__").length)
    .toBe(2);
  const all = await fixture.events(store);
  await fixture.sql`
    update ${fixture.table(store)} set created = created - interval '1 year'
    where id <= (select min(id) from ${fixture.table(store)} where name = '__snapshot__')`;
  const before = new Date(Date.now() - 180 * 86_400_000);
  const { truncated } = await app.close([{ stream: "roll", before, archive: () => archive(store, "roll") }]);
  const boundary = all.findIndex(({ name }) => name === "__snapshot__");
  expect(truncated.get("roll")).toMatchObject({ deleted: boundary, committed: { name: "__snapshot__" } });
  expect(shape(await fixture.events(store, "roll"))).toEqual(shape(all.slice(boundary)));
  expect(await archived("roll")).toHaveLength(all.length);

  const cold = stopping(
    act()
      .withState(Rolling)
      .build(on(fixture.beside(store))),
  );
  expect((await cold.load(Rolling, "roll")).state.notes).toBe(7);
  await cold.do("note", { stream: "roll", actor }, { text: "8" });
  const versions = (await fixture.events(store, "roll")).map(({ version }) => version);
  expect(versions).toEqual(versions.map((_, n) => Number(all[boundary]?.version) + n));
});

test("a window does not rise past a reaction that lags", async () => {
  const store = await fixture.seeded();
  const Rolling = ticket()
    .snap(({ patches }) => patches >= 2)
    .build();
  const app = stopping(
    act()
      .withState(Rolling)
      .on("Noted")
      .do(async function lag(event, target) {
        await fixture.note(target, event);
      })
      .to({ target: "lagging", source: "slow" })
      .build(on(store)),
  );
  for (const text of ["1", "2", "3"]) await app.do("note", { stream: "slow", actor }, { text });
  await expect
    .poll(async () => (await fixture.events(store)).some(({ name }) => name === "__snapshot__"))
    .toBe(true);
  const all = await fixture.events(store);
  const before = new Date(Date.now() + 1_000);
  const { skipped } = await app.close([{ stream: "slow", before }]);
  expect(skipped).toEqual(["slow"]);
  expect(await fixture.events(store)).toEqual(all);
  await settled(app);
  expect(await fixture.worked("lagging")).toHaveLength(3);
  const { truncated } = await app.close([{ stream: "slow", before }]);
  expect(truncated.get("slow")?.deleted).toBe(2);
});
