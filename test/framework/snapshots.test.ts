/** Snapshots: what they save, and that nothing depends on what lies before them. */
import { act, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { actor, on, stopping, useApps } from "./fixture.ts";

const fixture = useApps();

const Counter = state({ Counter: z.object({ count: z.number(), last: z.date().optional() }) })
  .init(() => ({ count: 0 }))
  .emits({ Counted: z.object({ by: z.number(), at: z.date() }) })
  .patch({ Counted: ({ data }, { count }) => ({ count: count + data.by, last: data.at }) })
  .on({ count: z.object({ by: z.number() }) })
  .emit(({ by }) => ["Counted", { by, at: new Date(by * 86_400_000) }])
  .snap(({ patches }) => patches >= 10)
  .build();

const counting = (store: PostgresStore) => stopping(act().withState(Counter).build(on(store)));

/** So many events on a stream, and the snapshots that belong to them. */
async function counted(store: PostgresStore, stream: string, events: number) {
  const app = counting(store);
  for (let by = 1; by <= events; by++) await app.do("count", { stream, actor }, { by });
  await expect.poll(async () => (await snapshots(store, stream)).length).toBe(Math.floor(events / 10));
  return app;
}

const snapshots = async (store: PostgresStore, stream: string) =>
  (await fixture.events(store, stream)).filter(({ name }) => name === "__snapshot__");

test("every tenth event leaves a snapshot of the state at that point", async () => {
  const store = await fixture.seeded();
  await counted(store, "c", 35);
  const sums = await fixture.sql<{ count: number; upto: number }[]>`
    select (s.data ->> 'count')::int as count, (
      select sum((e.data ->> 'by')::int)::int from ${fixture.table(store)} e
      where e.stream = s.stream and e.name = 'Counted' and e.id < s.id) as upto
    from ${fixture.table(store)} s where s.name = '__snapshot__' order by s.id`;
  expect(sums).toHaveLength(3);
  for (const { count, upto } of sums) expect(count).toBe(upto);
  const versions = (await fixture.events(store, "c")).map(({ version }) => version);
  expect(versions).toEqual(versions.map((_, n) => n));
});

test("a cold load replays what came since the snapshot only, whatever lies before it", async () => {
  const store = await fixture.seeded();
  await counted(store, "c", 24);
  await fixture.sql`
    update ${fixture.table(store)} set data = '{"by": 1000000, "at": "2020-01-01T00:00:00.000Z"}'
    where id < (select max(id) from ${fixture.table(store)} where name = '__snapshot__') and name = 'Counted'`;
  const snapshot = await counting(fixture.beside(store)).load(Counter, "c");
  expect(snapshot.state).toEqual({ count: 300, last: new Date(24 * 86_400_000) });
  expect(snapshot).toMatchObject({ cache_hit: false, replayed: 5, version: 25 });
});

test("actions go on from a snapshot that another process wrote", async () => {
  const store = await fixture.seeded();
  await counted(store, "c", 10);
  const other = counting(fixture.beside(store));
  const [done] = await other.do("count", { stream: "c", actor, expectedVersion: 10 }, { by: 5 });
  expect(done?.state.count).toBe(60);
  expect((await fixture.events(store, "c")).slice(-2).map(({ name, version }) => [name, version])).toEqual([
    ["__snapshot__", 10],
    ["Counted", 11],
  ]);
});

test("a snapshot that was lost is missed by nobody", async () => {
  const store = await fixture.seeded();
  await counted(store, "c", 12);
  await fixture.sql`delete from ${fixture.table(store)} where name = '__snapshot__'`;
  const snapshot = await counting(fixture.beside(store)).load(Counter, "c");
  expect(snapshot.state.count).toBe(78);
  expect(snapshot.replayed).toBe(12);
});
