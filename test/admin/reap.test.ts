/** What reap deletes, and what it leaves. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const meta = { correlation: "c", causation: {} };

test("subscriptions of closed streams go once they have handled everything; the others stay", async () => {
  const store = await fixture.seeded();
  for (const stream of ["closed-1", "closed-2", "closed-3", "open"])
    await store.commit(stream, [{ name: "A", data: {} }], meta);
  for (const stream of ["closed-1", "closed-2", "closed-3"])
    await store.commit(stream, [{ name: "__tombstone__", data: {} }], meta, 0);
  await store.subscribe([
    { stream: "finished", source: "closed-1" },
    { stream: "behind", source: "closed-2", correlated_at: 6 },
    { stream: "blocked", source: "closed-3" },
    { stream: "of-open", source: "open" },
    { stream: "of-pattern", source: "^closed-" },
    { stream: "of-all" },
  ]);
  await fixture.sql.unsafe(
    `update ${store.config.table}_streams set blocked = true where stream = 'blocked'`,
  );
  const admin = new Admin(store);
  expect(await admin.reap()).toEqual({ subscriptions: 0, correlators: 0 });
  const longest = await admin
    .reap({ olderThanMs: Number.POSITIVE_INFINITY })
    .catch((error: Error) => Number(/to (\d+)/.exec(error.message)?.[1]));
  expect(longest).toBeGreaterThan(1e14);
  expect(await admin.reap({ olderThanMs: Number(longest) })).toEqual({ subscriptions: 0, correlators: 0 });
  expect(await admin.reap({ olderThanMs: 0, dryRun: true })).toEqual({ subscriptions: 1, correlators: 0 });
  expect(await admin.reap({ olderThanMs: 0 })).toEqual({ subscriptions: 1, correlators: 0 });
  const left: string[] = [];
  await store.query_streams(({ stream }) => left.push(stream));
  expect(left).toEqual(["behind", "blocked", "of-all", "of-open", "of-pattern"]);
});

test("correlators go that have not run for the time; the furthest one and the shared checkpoint stay", async () => {
  const store = await fixture.seeded();
  for (const [key, at] of [
    ["old", 3],
    ["last", 9],
    ["young", 5],
  ] as const)
    await store.subscribe([], at, { key, by: "w", millis: 60_000 });
  await fixture.sql.unsafe(
    `update ${store.config.table}_correlated set leased_until = now() - interval '30 days' where key in ('old', 'last')`,
  );
  const admin = new Admin(store);
  expect(await admin.reap()).toEqual({ subscriptions: 0, correlators: 1 });
  expect((await admin.correlators()).map(({ key }) => key).sort()).toEqual(["", "last", "young"]);
});

test("a correlator stays that has just been released, or whose release left no time", async () => {
  const store = await fixture.seeded();
  const { table } = store.config;
  const ask = (key: string, at: number | undefined, millis: number) =>
    store.subscribe([], at, { key, by: "w", millis });
  for (const key of ["released", "disposed", "untimed"]) await ask(key, 3, 60_000);
  await ask("released", undefined, 0);
  await fixture.sql.unsafe(
    `update ${table}_correlated set leased_by = 'w', leased_until = null where key = 'untimed'`,
  );
  const ending = fixture.store({ table });
  await ending.subscribe([], 3, { key: "disposed", by: "w", millis: 60_000 });
  await ending.dispose();
  await ask("furthest", 9, 60_000);
  const admin = new Admin(store);
  const none = { subscriptions: 0, correlators: 0 };
  expect(await admin.reap({ dryRun: true })).toEqual(none);
  expect(await admin.reap()).toEqual(none);
  expect((await ask("untimed", undefined, 0)).correlated_at).toBe(3);
  await fixture.sql.unsafe(`update ${table}_correlated set leased_until = leased_until - interval '8 days'`);
  expect(await admin.reap()).toEqual({ subscriptions: 0, correlators: 3 });
});

test("a row that a trigger keeps does not end the pages before the last one", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await store.commit("closed", [{ name: "__tombstone__", data: {} }], meta);
  await fixture.sql.unsafe(`
    insert into "${schema}"."${table}_streams" (stream, source, at, correlated_at)
    select 's' || n, 'closed', 1, 1 from generate_series(1, 2500) n;
    create function "${schema}"."${table}_keep"() returns trigger language plpgsql as $$ begin
      if old.stream = 's1' then return null; end if; return old; end $$;
    create trigger keep before delete on "${schema}"."${table}_streams"
      for each row execute function "${schema}"."${table}_keep"()`);
  expect(await new Admin(store).reap({ olderThanMs: 0 })).toEqual({ subscriptions: 2_499, correlators: 0 });
});
