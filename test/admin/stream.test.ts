/** admin.stream(): one stream as it stands in the log, and who reads it. */
import { describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { cause, withBacklog } from "./fixture.ts";

const fixture = useDatabase();

describe("a stream", () => {
  test("shows its head, its history and who reads it", async () => {
    const admin = new Admin(await withBacklog(fixture));
    const view = await admin.stream("order-2");
    expect(view).toMatchObject({
      head: { id: 2, version: 0 },
      events: { count: 1, exact: true },
      snapshot: undefined,
      firstVersion: 0,
      closed: false,
    });
    expect(view.history.map(({ name }) => name)).toEqual(["Placed"]);
    // The mailer reads ^order-.
    expect(view.readers.map(({ stream, kind }) => [stream, kind])).toEqual([
      ["mailer", "pattern"],
      ["report", "stream"],
    ]);
    expect(view.readersCut).toBe(false);
  });

  test("that was closed or truncated says so, with its snapshot in the history", async () => {
    const store = await withBacklog(fixture);
    await store.truncate([{ stream: "order-1", snapshot: { total: 1 } }, { stream: "order-2" }]);
    const admin = new Admin(store);
    const kept = await admin.stream("order-1");
    expect(kept.snapshot).toEqual(kept.head);
    expect(kept.history.map(({ name }) => name)).toEqual(["__snapshot__"]);
    expect((await admin.stream("order-2")).closed).toBe(true);
  });

  test("is read by those whose pattern matches it, and patterns that take JavaScript minutes do not stop the process", async () => {
    const store = await fixture.seeded();
    const stream = "a".repeat(400);
    await store.commit(stream, [{ name: "Placed", data: {} }], cause("c-1"));
    const sources = { slow: ".*a.*a.*a.*a.*b", nested: "(a+)+b", other: "^b.*a", same: "^a+$", all: ".*" };
    await store.subscribe(Object.entries(sources).map(([name, source]) => ({ stream: name, source })));
    const start = performance.now();
    const { readers } = await new Admin(store).readers(stream);
    expect(readers.map(({ stream: reader }) => reader)).toEqual(["all", "same"]);
    expect((await new Admin(store).stream(stream)).readers).toEqual(
      readers.map(({ waiting: _, ...reader }) => reader),
    );
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test("whose name reads like a pattern: its readers wait for its own events only", async () => {
    const store = await fixture.seeded();
    const placed = { name: "Placed", data: {} };
    for (const stream of ["a.b", "axb", "xa.bx"]) await store.commit(stream, [placed], cause("c-1"));
    await store.subscribe([{ stream: "all", correlated_at: 3 }]);
    const { readers } = await new Admin(store).readers("a.b");
    expect(readers).toMatchObject([{ stream: "all", waiting: { count: 1, exact: true } }]);
  });

  test("is read by subscriptions of any name, page by page", async () => {
    const store = await fixture.seeded();
    const { connections, names } = contextOf(store);
    await connections.write("test", {
      text: `insert into ${names.streams} (stream, source)
select 'sub-' || lpad(n::text, 5, '0'), case when n % 100 = 7 then '^order-1$' when n % 5000 = 4999 then 'order-1' else 'other' end
from generate_series(0, 14999) n`,
    });
    // One that reads the whole log, and one that is named like the stream but reads another one.
    await store.subscribe([{ stream: "zzz" }, { stream: "order-1", source: "other" }]);
    const admin = new Admin(store);
    const first = await admin.readers("order-1");
    expect([first.readers.length, first.cut]).toEqual([100, true]);
    const second = await admin.readers("order-1", { after: first.next });
    expect([second.readers.length, second.cut, second.next]).toEqual([54, false, undefined]);
    const expected = Array.from({ length: 15_000 }, (_, n) => n)
      .filter((n) => n % 100 === 7 || n % 5000 === 4999)
      .map((n) => `sub-${String(n).padStart(5, "0")}`);
    expect([...first.readers, ...second.readers].map(({ stream }) => stream)).toEqual([...expected, "zzz"]);
    expect((await admin.stream("order-1")).readersCut).toBe(true);
    expect(await admin.stream("order-1", { readers: false })).toMatchObject({
      readers: [],
      readersCut: false,
    });
  });

  test("is read by the subscription of its own name, wherever that is among the readers", async () => {
    const store = await fixture.seeded();
    const { connections, names } = contextOf(store);
    await connections.write("test", {
      text: `insert into ${names.streams} (stream, source) select 'a' || lpad(n::text, 3, '0'), null from generate_series(0, 149) n`,
    });
    await store.subscribe([{ stream: "z", source: "z" }]);
    const admin = new Admin(store);
    const first = await admin.readers("z");
    expect(first.readers.map(({ stream }) => stream)).toContain("z");
    const second = await admin.readers("z", { after: first.next });
    expect(second.readers.map(({ stream }) => stream)).toEqual(
      Array.from({ length: 50 }, (_, n) => `a${n + 100}`),
    );
  });

  test("without events has no head", async () => {
    const store = await fixture.seeded();
    expect(await new Admin(store).stream("nobody")).toMatchObject({ head: undefined, history: [] });
  });
});
