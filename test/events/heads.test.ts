/** How a stream's head is found, by id or by version, and what the ids are bounded by. */
import { ConcurrencyError } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { append, type Log, useLog } from "./append-fixture.ts";

const openLog = useLog();

/** The heads that unguarded commits meet, found in either way. */
async function headsOf({ dryRun }: Log, streams: readonly string[]) {
  const batch = streams.map((stream) => append(stream, null, "A"));
  const [byId, byVersion] = [await dryRun(batch), await dryRun(batch, { headBy: "version" })];
  return { byId: byId?.heads, byVersion: byVersion?.heads };
}

/** Versions that are not in the order of ids, as an import may leave them: the head is at id 2. */
async function outOfOrder(log: Log): Promise<void> {
  await log.sql(`insert into ${log.names.events} (stream, version, name, data, meta)
    select 's', v, 'A', '{}', '{}' from unnest(array[0, 2, 1]) with ordinality as t(v, n) order by n`);
}

describe("a stream's head", () => {
  test("is the same by id and by version, also after a truncate and a restore", async () => {
    const log = await openLog();
    const { store, send } = log;
    await send([append("a", null, "a0", "a1"), append("b", null, "b0"), append("A", null, "A0", "A1", "A2")]);
    await store.truncate([{ stream: "b", snapshot: {} }]);
    await send([append("a", null, "a2"), append("a%", null, "x0")]);
    const streams = ["a", "b", "A", "a%", "", "none"];
    expect(await headsOf(log, streams)).toEqual({ byId: "{2,0,2,0,-1,-1}", byVersion: "{2,0,2,0,-1,-1}" });
    await store.restore(async (insert) => {
      for (const version of [0, 1])
        await insert({
          id: 0,
          stream: "a",
          version,
          created: new Date(0),
          name: "R",
          data: {},
          meta: { correlation: "", causation: {} },
        });
    });
    expect(await headsOf(log, streams)).toEqual({
      byId: "{1,-1,-1,-1,-1,-1}",
      byVersion: "{1,-1,-1,-1,-1,-1}",
    });
  });

  test("is what the last windowed truncate has left", async () => {
    const log = await openLog();
    await log.send([append("s", null, "s0", "__snapshot__", "s2")]);
    await log.store.truncate([{ stream: "s", before: new Date(Date.now() + 60_000) }]);
    expect(await headsOf(log, ["s"])).toEqual({ byId: "{2}", byVersion: "{2}" });
    await log.store.truncate([{ stream: "s" }]);
    expect(await headsOf(log, ["s"])).toEqual({ byId: "{0}", byVersion: "{0}" });
  });

  test("where versions were given out of order is found by version; by id its version is taken (23505)", async () => {
    const log = await openLog();
    await outOfOrder(log);
    await expect(log.send([append("s", null, "A")])).rejects.toMatchObject({ cause: { code: "23505" } });
    expect(await log.send([append("s", 2, "A")], { headBy: "version" })).toMatchObject([
      { accepted: true, head: 2 },
    ]);
  });

  test("of query_stats is the event with the highest id, with and without `before`", async () => {
    const log = await openLog();
    await outOfOrder(log);
    const { store } = log;
    const ids: number[] = [];
    await store.query(({ id }) => void ids.push(id), { stream: "s", stream_exact: true });
    const [first, , last] = ids;
    for (const before of [undefined, Number(last) + 1]) {
      const found = (await store.query_stats(["s"], { tail: true, before })).get("s");
      expect(found?.head).toMatchObject({ id: last, version: 1 });
      expect(found?.tail).toMatchObject({ id: first, version: 0 });
    }
  });

  test("where versions were given out of order does not keep the store from appending", async () => {
    const log = await openLog();
    await outOfOrder(log);
    const [committed] = await log.store.commit("s", [{ name: "A", data: {} }], {
      correlation: "",
      causation: {},
    });
    expect(committed).toMatchObject({ version: 3 });
  });
});

describe("a search that begins at an id", () => {
  const NEW = "{-1}";

  test.each([
    ["of the head", { s: 4 }, "{2}"],
    ["of an older event", { s: 1 }, "{2}"],
    ["of an event that was deleted", { s: 3 }, "{2}"],
    ["above the head, as after a restore", { s: 100 }, "{2}"],
    ["of a stream that is gone", { gone: 3 }, NEW],
  ])("%s finds the head", async (_, latest, head) => {
    const log = await openLog();
    await log.send([append("s", null, "s0", "s1"), append("gone", null, "g0"), append("s", null, "s2")]);
    await log.sql(`delete from ${log.names.events} where stream = 'gone'`);
    const latestIds = new Map(Object.entries(latest));
    for (const expected of [null, Number(head.slice(1, -1)), 77]) {
      const [stream = ""] = latestIds.keys();
      const found = await log.dryRun([append(stream, expected, "A")], { latestIds });
      expect(found).toMatchObject({ heads: head, accepted: expected === 77 ? "{f}" : "{t}" });
    }
  });

  test("finds what other processes did to the stream since this one appended to it", async () => {
    const { store, other } = await openLog();
    const commit = (by: PostgresStore, stream: string, expected?: number) =>
      by.commit(stream, [{ name: "A", data: {} }], { correlation: "", causation: {} }, expected);
    for (let n = 0; n < 5; n++) await commit(store, "s");
    await commit(other, "s");
    expect(await commit(store, "s", 5)).toMatchObject([{ version: 6 }]);
    await other.truncate([{ stream: "s", snapshot: {} }]);
    await expect(commit(store, "s", 6)).rejects.toThrow(ConcurrencyError);
    expect(await commit(store, "s", 0)).toMatchObject([{ version: 1 }]);
    // Its ids begin at 1 again, so the head's is below every id that was known.
    await other.restore(async (insert) => {
      const meta = { correlation: "", causation: {} };
      for (const version of [0, 1, 2])
        await insert({ id: 0, stream: "s", version, created: new Date(0), name: "R", data: {}, meta });
    });
    await expect(commit(store, "s", 1)).rejects.toThrow(ConcurrencyError);
    expect(await commit(store, "s")).toMatchObject([{ version: 3 }]);
    expect(await commit(store, "s", 3)).toMatchObject([{ version: 4 }]);
  });
});

describe("the sequence of ids", () => {
  test("bounds where heads are looked for, but no commit is refused by what lies below: rows may be imported above", async () => {
    const log = await openLog();
    await log.send([append("s", null, "s0")]);
    await log.sql(`insert into ${log.names.events} (id, stream, version, name, data, meta)
      values (1000, 's', 1, 'Above', '{}', '{}'), (1001, 'above', 5, 'Above', '{}', '{}')`);
    expect((await log.insert([append("s", -2, "never")]))?.heads).toBe("{1}");
    expect((await log.insert([append("above", -2, "never")]))?.heads).toBe("{5}");
    // An acceptance by mistake meets the unique index: nothing is written, and the appender asks by version.
    await expect(log.insert([append("s", null, "s1")])).rejects.toMatchObject({
      cause: { code: "23505" },
    });
    expect((await log.insert([append("s", null, "s1")], { headBy: "version" }))?.heads).toBe("{1}");
  });

  test("that has given out nothing yet is no bound", async () => {
    const log = await openLog();
    await log.sql(`insert into ${log.names.events} (id, stream, version, name, data, meta)
      values (1000, 's', 0, 'Imported', '{}', '{}')`);
    expect((await log.insert([append("s", -2, "never")]))?.heads).toBe("{0}");
  });

  test("that was dropped is an internal error (XX000), and none if it is not asked for", async () => {
    const log = await openLog();
    const { events } = log.names;
    await log.send([append("s", null, "s0")]);
    await log.sql(`create sequence other start 10; alter table ${events} alter id set default nextval('other');
      drop sequence "${log.names.schema}"."${log.names.table}_id_seq"`);
    const batch = [append("s", 0, "s1")];
    await expect(log.send(batch)).rejects.toMatchObject({ cause: { code: "XX000" } });
    expect(await log.send(batch, { sequence: null, headBy: "version" })).toEqual([
      { accepted: true, head: 0, ids: [10] },
    ]);
  });

  test("may be replaced by another while the store works", async () => {
    const { store, names, sql } = await openLog();
    const meta = { correlation: "", causation: {} };
    await store.commit("s", [{ name: "A", data: {} }], meta);
    await sql(`create sequence another start 10; alter table ${names.events} alter id set default nextval('another');
      drop sequence "${names.schema}"."${names.table}_id_seq"`);
    expect(await store.commit("s", [{ name: "B", data: {} }], meta, 0)).toMatchObject([
      { id: 10, version: 1 },
    ]);
    expect(await store.commit("s", [{ name: "C", data: {} }], meta, 1)).toMatchObject([
      { id: 11, version: 2 },
    ]);
  });

  test("may give way to another while the store works, and stay, as when serial becomes identity", async () => {
    const { store, names, sql } = await openLog();
    const meta = { correlation: "", causation: {} };
    await store.commit("s", [{ name: "A", data: {} }], meta);
    await sql(`alter table ${names.events} alter id drop default,
      alter id add generated by default as identity (start with 10)`);
    expect(await store.commit("s", [{ name: "B", data: {} }], meta, 0)).toMatchObject([
      { id: 10, version: 1 },
    ]);
    expect(await store.commit("s", [{ name: "C", data: {} }], meta, 1)).toMatchObject([
      { id: 11, version: 2 },
    ]);
  });
});
