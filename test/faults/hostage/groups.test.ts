/** Much at once from one process: its groups are small enough for others, and its queue for its own memory. */
import { expect, test } from "vitest";
import { eventually } from "../../conformance/kit/eventually.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { titled } from "../failover/programs.ts";
import { LONG, scale, TIMEOUT } from "../kit/scale.ts";
import { commitsDuring, percentile, slowest, timedCommits } from "./bystander.ts";
import { Client } from "./clients.ts";

const fixture = useDatabase();

/** A store, and a client of the same table in another process. */
async function beside() {
  const store = await fixture.seeded();
  const { table } = store.config;
  const application_name = fixture.application(`${table}_client`);
  const client = await Client.start({ ...fixture.parts, table, application_name });
  await client.commit({ calls: 1 });
  return { store, client };
}

const CALLS = scale(36, 300);
const EVENTS = 5_000;

test(`${CALLS} commits of ${EVENTS} tiny events at once: nobody waits for more than about a second`, {
  timeout: TIMEOUT,
}, async () => {
  const { store, client } = await beside();
  const usual = percentile(await timedCommits(store, 50), 0.99);
  const committing = client.commit({ calls: CALLS, events: EVENTS });
  const took = await commitsDuring(store, committing);
  const { settled } = await committing;
  const longest = Math.round(slowest(took));
  console.log(JSON.stringify({ usual: Math.round(usual), longest, commits: took.length, settled }));
  expect.soft(settled).toEqual({ ok: CALLS });
  expect(longest).toBeLessThan(2 * usual + 1_000);
});

/** Characters of data, meta and pii that may wait in one process. */
const LIMIT = 256 * 2 ** 20;
const BYTES = 60_000;
const WAITING = scale(5_500, 20_000);
const name = `of ${WAITING} waiting commits of ${BYTES / 1_000} KB those beyond 256 MB are refused at once`;

test(name, { timeout: TIMEOUT }, async () => {
  const { store, client } = await beside();
  const lock = await fixture.hold(store);
  void client.commit({ calls: WAITING, bytes: BYTES });
  const refused = await eventually(
    async () => {
      const { settled, called } = await client.tally();
      if (called < WAITING) return undefined;
      return settled;
    },
    { within: 30_000, every: 50 },
  );
  console.log(JSON.stringify(refused));
  const { QUEUE_FULL = 0, ...others } = refused;
  expect(others).toEqual({});
  // The first group has left the queue. Each commit has some characters besides.
  const waiting = (WAITING - QUEUE_FULL) * BYTES;
  expect(waiting).toBeLessThan(LIMIT + 2 ** 23);
  expect(waiting).toBeGreaterThan(LIMIT / 2);
  await client.kill();
  await lock.release();
});

const again = titled(
  "a queue that was full takes commits again when it has emptied",
  LONG ? "" : "takes long, FAULTS=long runs it",
);
test.skipIf(!LONG)(again, { timeout: TIMEOUT }, async () => {
  const { store, client } = await beside();
  const lock = await fixture.hold(store);
  const committing = client.commit({ calls: WAITING, bytes: BYTES });
  await eventually(async () => ((await client.tally()).settled.QUEUE_FULL ?? 0) > 0, { within: 60_000 });
  await lock.release();
  const { settled } = await committing;
  console.log(JSON.stringify(settled));
  expect(Object.keys(settled).sort()).toEqual(["QUEUE_FULL", "ok"]);
  expect((await client.commit({ calls: 1, bytes: BYTES })).settled).toEqual({ ok: 1 });
});
