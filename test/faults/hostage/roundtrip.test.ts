/** Without prepared statements, as behind a pooler, over a long way: one round trip, and the lock is not held for it. */
import { expect, onTestFinished, test } from "vitest";
import { latencyProxy } from "../../../bench/lib/latency-proxy.ts";
import type { PostgresStore } from "../../../src/index.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { lookAt, median, percentile, timedCommits } from "./bystander.ts";

const fixture = useDatabase();
const RTT = 40;

/** A store on a table, with `prepare: false`, so far from the server; warm. */
async function distant({ config: { table } }: PostgresStore) {
  const proxy = await latencyProxy(fixture.url, RTT);
  onTestFinished(() => proxy.close());
  const { port } = new URL(proxy.url);
  const options = { host: "127.0.0.1", port: Number(port), prepare: false };
  const store = fixture.store({
    ...options,
    table,
    application_name: fixture.application(`${table}_distant`),
  });
  for (let n = 0; n < 3; n++) await store.commit("distant", [event()], meta);
  return { store, proxy };
}

const SIZES = [
  { what: "a small event", events: [event("Small")] },
  { what: "an event of 10 KB", events: [event("Large", { fill: "x".repeat(10_000) })] },
  { what: "20 events", events: Array.from({ length: 20 }, () => event("Many", { fill: "x".repeat(100) })) },
];

test.each(SIZES)("a warm commit of $what with prepare: false takes one round trip", async ({ events }) => {
  const { store, proxy } = await distant(await fixture.seeded());
  await store.commit("warm", events, meta);
  proxy.take();
  const took: number[] = [];
  for (let n = 0; n < 6; n++) {
    const start = performance.now();
    await store.commit("distant", events, meta);
    took.push(performance.now() - start);
  }
  const trips = proxy.take() / took.length;
  console.log(JSON.stringify({ trips, median: Math.round(median(took)) }));
  expect.soft(trips).toBe(1);
  // One is 40 ms, and what the server needs.
  expect(median(took)).toBeLessThan(2 * RTT);
});

test("commits with prepare: false from far away do not hold the lock for a round trip", {
  timeout: TIMEOUT,
}, async () => {
  const bystander = await fixture.seeded();
  const { store } = await distant(bystander);
  const calm = percentile(await timedCommits(bystander, 100), 0.95);
  let over = false;
  const end = () => over;
  const committing = (async () => {
    while (!over) await store.commit("distant", [event()], meta);
  })();
  const looking = lookAt(fixture.sql, store, end);
  const took = await timedCommits(bystander, scale(100, 1_000));
  over = true;
  await committing;
  const [p95, looks] = [percentile(took, 0.95), await looking];
  console.log(JSON.stringify({ calm: Math.round(calm), p95: Math.round(p95), ...looks }));
  expect.soft(looks.idleWithLock).toBe(0);
  expect(p95).toBeLessThan(2 * calm + RTT / 2);
});
