/** Verbs that may make work claimable without an event say so on the channel, if the store has notifications. */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { parsePayload } from "../../src/notifications/payload.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();

/** What `run` announces besides commits. A commit at the end is heard after all that was sent before it. */
async function announcedBy(store: PostgresStore, run: () => Promise<unknown>): Promise<unknown[]> {
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  const payloads: string[] = [];
  await sql.listen(`act_commit_${store.config.schema}_${store.config.table}`, (payload) =>
    payloads.push(payload),
  );
  await run();
  await fixture.sql`select pg_notify(${`act_commit_${store.config.schema}_${store.config.table}`}, 'end')`;
  await expect.poll(() => payloads.at(-1), { interval: 5 }).toBe("end");
  return payloads.slice(0, -1).map((payload) => JSON.parse(payload));
}

const CLAIMABLE = { stream: "", events: [], by: expect.any(String), claimable: true };

async function subscribed(notify = true): Promise<PostgresStore> {
  const store = await fixture.seeded({ notify });
  await store.commit("s", [event()], meta);
  await store.subscribe([{ stream: "t", correlated_at: 1 }, { stream: "u" }], 1);
  return store;
}

const verbs: Record<string, (store: PostgresStore) => Promise<unknown>> = {
  reset: (store) => store.reset(["t"]),
  "reset of many": (store) => store.reset({}),
  defer: (store) => store.defer(["t"], Date.now() + 60_000),
  prioritize: (store) => store.prioritize({}, 3),
  unblock: async (store) => {
    const leases = await store.claim(1, 0, "w", 60_000);
    await store.block(leases.map((lease) => ({ ...lease, error: "poison" })));
    await store.unblock({});
  },
  "subscribe with a mark": (store) => store.subscribe([{ stream: "v", correlated_at: 1 }]),
};

test.each(Object.entries(verbs))("%s", async (_, run) => {
  const store = await subscribed();
  expect(await announcedBy(store, () => run(store))).toEqual([CLAIMABLE]);
});

test.each(Object.entries(verbs))("%s without notify announces nothing", async (_, run) => {
  const store = await subscribed(false);
  expect(await announcedBy(store, () => run(store))).toEqual([]);
});

test("what changes nothing, and what the framework calls for each event, announces nothing", async () => {
  const store = await subscribed();
  const correlator = { key: "c", by: "w", millis: 1_000 };
  const calls = async () => {
    await store.reset(["nobody"]);
    await store.unblock({});
    await store.prioritize({}, 0);
    await store.defer([], 0);
    await store.subscribe([{ stream: "t", correlated_at: 5 }], 5, correlator);
    await store.subscribe([{ stream: "u", correlated_at: 5 }], 5);
    await store.subscribe([{ stream: "w" }]);
    await store.ack(await store.claim(5, 5, "w", 1_000));
  };
  expect(await announcedBy(store, calls)).toEqual([]);
});

test("the payload is read as an announcement, and only if it says so", () => {
  const payload = { stream: "", events: [], by: "b", claimable: true };
  expect(parsePayload(JSON.stringify(payload))).toEqual({ ...payload, range: undefined });
  for (const claimable of [false, 1, "true", null, {}])
    expect(parsePayload(JSON.stringify({ ...payload, claimable }))).toBeUndefined();
  // Events count, whatever else a later release may say.
  const both = { ...payload, stream: "s", events: [{ id: 1, name: "A" }] };
  expect(parsePayload(JSON.stringify(both))?.claimable).toBeUndefined();
});
