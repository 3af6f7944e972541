/** follow() as the log grows: what each of its reads searches, and a log that begins anew. */
import { expect, test, vi } from "vitest";
import type { EventView } from "../../src/admin/events.ts";
import { follow } from "../../src/admin/follow.ts";
import { contextOf } from "../../src/context.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** Follows until `count` events have come, and returns their ids. */
async function idsUntil(pages: AsyncIterable<readonly EventView[]>, end: AbortController, count: number) {
  const ids: number[] = [];
  for await (const page of pages) {
    ids.push(...page.map(({ id }) => id));
    if (ids.length >= count) end.abort();
  }
  return ids;
}

test("a filter that finds nothing searches each event once", async () => {
  const store = await fixture.seeded({ notify: true });
  for (let n = 0; n < 5; n++) await store.commit("other", [event()], meta);
  const context = contextOf(store);
  const read = vi.spyOn(context.connections, "read");
  const end = new AbortController();
  const pages = follow(context, { stream: "wanted", after: 0, signal: end.signal });
  const found = idsUntil(pages, end, 1);
  const searched = () =>
    read.mock.calls.flatMap(([, { text, params }]) =>
      text.includes("as personal") && Array.isArray(params)
        ? [params.filter((n) => typeof n === "number")]
        : [],
    );
  await expect.poll(() => searched().length).toBe(1);
  await store.commit("other", [event()], meta);
  await expect.poll(() => searched().length).toBe(2);
  await store.commit("wanted", [event()], meta);
  expect(await found).toEqual([7]);
  expect(searched().map((numbers) => numbers.includes(0))).toEqual([true, false, false]);
});

test("a log that is restored is followed from where it ends then", async () => {
  const store = await fixture.seeded({ notify: true });
  for (let n = 0; n < 5; n++) await store.commit("s", [event()], meta);
  const context = contextOf(store);
  const read = vi.spyOn(context.connections, "read");
  const end = new AbortController();
  const found = idsUntil(follow(context, { signal: end.signal }), end, 1);
  await expect.poll(() => read.mock.calls.length).toBeGreaterThan(1);
  await store.restore(async (insert) => {
    await insert({ ...event(), id: 0, stream: "s", version: 0, created: new Date(0), meta });
  });
  const before = read.mock.calls.length;
  await expect.poll(() => read.mock.calls.length, { timeout: 5_000 }).toBeGreaterThan(before + 1);
  const [next] = await store.commit("s", [event()], meta);
  expect(await found).toEqual([next?.id]);
  expect(next?.id).toBeLessThan(5);
});

test("its listener ends with the signal, also if nobody asks for the next page", async () => {
  const store = await fixture.seeded({ notify: true });
  await store.commit("s", [event()], meta);
  const { connections } = contextOf(store);
  const end = new AbortController();
  const pages = follow(contextOf(store), { after: 0, signal: end.signal });
  expect((await pages.next()).value).toHaveLength(1);
  expect(connections.listenerState).toBe("listening");
  end.abort();
  await expect.poll(() => connections.listenerState).toBe("off");
});
