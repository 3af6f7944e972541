/** A claim that has to wait for a row stops after its lock_timeout and tries again, so that it is in no deadlock. */
import type { Lease } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { stateOf, until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();

/** Streams with work, and a trigger: each update is counted, records its lock_timeout, and waits for a lock. */
async function waiting(streams = ["a", "b"]): Promise<{
  store: PostgresStore;
  tries(): Promise<number>;
  noted(): Promise<string[]>;
}> {
  const store = await fixture.seeded({ max: streams.length + 1 });
  const { schema, table } = store.config;
  const own = (suffix: string) => `"${schema}"."${table}_${suffix}"`;
  await store.subscribe(streams.map((stream) => ({ stream, correlated_at: 5 })));
  await fixture.sql.unsafe(`
    create sequence ${own("tries")};
    create table ${own("noted")} (setting text);
    create function ${own("wait")}() returns trigger language plpgsql as $$ begin
      perform nextval('${own("tries")}');
      insert into ${own("noted")} values (current_setting('lock_timeout'));
      perform pg_advisory_xact_lock(hashtext('${table}'));
      return new;
    end $$;
    create trigger wait before update on ${own("streams")} for each row execute function ${own("wait")}()`);
  return {
    store,
    tries: async () => {
      const [row] = await fixture.sql.unsafe(
        `select last_value::int as last, is_called from ${own("tries")}`,
      );
      return row?.is_called ? Number(row.last) : 0;
    },
    noted: async () =>
      (await fixture.sql.unsafe(`select setting from ${own("noted")}`)).map((row) => row.setting),
  };
}

test("a claim tries again until it need not wait, and its lock_timeout ends with the statement", async () => {
  const { store, tries, noted } = await waiting();
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe(`begin; select pg_advisory_xact_lock(hashtext('${store.config.table}'))`);
  const claiming = store.claim(2, 0, "w", 60_000);
  await until("the claim has given way, and tries again", async () => (await tries()) >= 3);
  await holder.unsafe("rollback");
  expect((await claiming).map(({ stream, retry }) => [stream, retry])).toEqual([
    ["a", 0],
    ["b", 0],
  ]);
  // Of the tries that were undone nothing is left.
  expect(await noted()).toEqual(["25ms", "25ms"]);
  expect(await store.subscribe([{ stream: "a", correlated_at: 9 }])).toMatchObject({ subscribed: 0 });
  expect(await noted()).toEqual(["25ms", "25ms", "0"]);
});

test("a claim that always has to wait fails in the end, and has leased nothing", async () => {
  const { store, noted } = await waiting();
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe(`begin; select pg_advisory_xact_lock(hashtext('${store.config.table}'))`);
  await expect(store.claim(2, 0, "w", 60_000)).rejects.toMatchObject({
    operation: "claim",
    cause: { code: "55P03" },
  });
  await holder.unsafe("rollback");
  expect(await noted()).toEqual([]);
  expect(await store.claim(2, 0, "other", 60_000)).toHaveLength(2);
});

/** The verbs that update subscriptions and do not give way, each on the stream of its name. */
const patient: Readonly<
  Record<string, (store: PostgresStore, leases: readonly Lease[]) => Promise<unknown>>
> = {
  subscribe: (store) => store.subscribe([{ stream: "subscribe", correlated_at: 9 }]),
  ack: (store, leases) => store.ack(leases.map((lease) => ({ ...lease, at: 5 }))),
  block: (store, leases) => store.block(leases.map((lease) => ({ ...lease, error: "no disk" }))),
  unblock: (store) => store.unblock(["unblock"]),
  reset: (store) => store.reset(["reset"]),
  defer: (store) => store.defer(["defer"], Date.now() + 60_000),
  prioritize: (store) => store.prioritize({ stream: "prioritize", stream_exact: true }, 3),
};

test("every other verb waits as long as the server allows", async () => {
  const verbs = Object.entries(patient);
  const { store, tries } = await waiting(Object.keys(patient));
  const leases = await store.claim(verbs.length, 0, "w", 60_000);
  const of = (stream: string) => leases.filter((lease) => lease.stream === stream);
  await store.block(of("unblock").map((lease) => ({ ...lease, error: "no disk" })));
  const before = await tries();
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe(`begin; select pg_advisory_xact_lock(hashtext('${store.config.table}'))`);
  const calls = verbs.map(([verb, call]) => [verb, call(store, of(verb))] as const);
  // What rejects early is found pending no more, below.
  for (const [, call] of calls) call.catch(() => {});
  await until("each has got as far as its row", async () => (await tries()) >= before + verbs.length);
  const since = performance.now();
  // Longer than a claim's lock_timeout: what is to be seen is that nothing happens.
  await until("they have waited for longer than a claim would", async () => performance.now() - since > 300);
  for (const [verb, call] of calls) expect(await stateOf(call), verb).toBe("pending");
  // And none has given way meanwhile and tries again, as a claim does.
  expect(await tries()).toBe(before + verbs.length);
  await holder.unsafe("rollback");
  const answers = await Promise.all(calls.map(([, call]) => call));
  expect(Object.fromEntries(verbs.map(([verb], k) => [verb, answers[k]]))).toMatchObject({
    subscribe: { subscribed: 0 },
    ack: [{ stream: "ack", at: 5 }],
    block: [{ stream: "block", error: "no disk" }],
    unblock: 1,
    reset: 1,
    defer: 1,
    prioritize: 1,
  });
});
