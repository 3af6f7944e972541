/** The log says why: slow statements, lost connections and blocked work. Never an event's data. */
import { setImmediate } from "node:timers/promises";
import { log } from "@rotorsoft/act";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Throttle } from "../../src/values/throttle.ts";
import { event, meta, useDatabase } from "./fixture.ts";

const fixture = useDatabase();
let lines: string[] = [];

beforeEach(() => {
  lines = [];
  for (const level of ["info", "warn", "error"] as const)
    vi.spyOn(log(), level).mockImplementation((...args: unknown[]) => {
      lines.push(`${level} ${args.map(String).join(" ")}`);
    });
});
afterEach(() => vi.restoreAllMocks());

const found = (pattern: RegExp) => lines.filter((line) => pattern.test(line));

/** A store on whose table, or on that of subscriptions, each INSERT takes 60 ms. */
async function slowOn(suffix: "" | "_streams", slowStatementMillis: number | false): Promise<PostgresStore> {
  const store = await fixture.seeded({ slowStatementMillis, max: 2 });
  lines = [];
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`
    create function "${schema}"."${table}_slow"() returns trigger language plpgsql as $$ begin
      perform pg_sleep(0.06); return new; end $$;
    create trigger slow before insert on "${schema}"."${table}${suffix}"
      for each row execute function "${schema}"."${table}_slow"()`);
  return store;
}

describe("a slow statement", () => {
  test("is logged with verb and duration, without names and parameters, once a minute", async () => {
    const store = await slowOn("_streams", 50);
    await store.subscribe([{ stream: "secret-1" }]);
    await store.subscribe([{ stream: "secret-2" }]);
    expect(found(/slow/)).toEqual([
      expect.stringMatching(
        /^warn \[act-drizzle\] "\w+"\."\w+": slow: subscribe took \d{2,} ms \(slowStatementMillis is 50\); docs/,
      ),
    ]);
    expect(lines.join()).not.toContain("secret");
  });

  test("says how long it waited for a connection", async () => {
    const store = await slowOn("_streams", 50);
    await Promise.all([store.subscribe([{ stream: "a" }]), store.query(() => {})]);
    expect(found(/slow: query took \d+ ms, \d{2,} ms of it waiting for a connection/)).toHaveLength(1);
  });

  test("of commits is that of their batch", async () => {
    const store = await slowOn("", 50);
    await store.commit("secret", [event("Secret", { secret: 1 })], meta);
    expect(found(/slow: a batch of commits, with its wait for the append lock, took \d{2,} ms/)).toHaveLength(
      1,
    );
    expect(lines.join()).not.toMatch(/secret/i);
  });

  test("of an interactive transaction is logged too", async () => {
    const store = await slowOn("", 50);
    await store.restore(async (insert) => {
      await insert({ id: 1, stream: "s", version: 0, created: new Date(), name: "A", data: {}, meta });
    });
    expect(found(/slow: restore took/)).toHaveLength(1);
  });

  test.each([0, false] as const)("is not logged with %s", async (off) => {
    const store = await slowOn("_streams", off);
    await store.subscribe([{ stream: "a" }]);
    expect(found(/slow/)).toEqual([]);
  });

  test("is one that takes a second, by default", async () => {
    const store = fixture.store();
    expect(store.config.slowStatementMillis).toBe(1_000);
  });
});

test("connections that are lost are logged once, and that there is one again", async () => {
  const store = await fixture.seeded();
  await Promise.all([store.query(() => {}), store.query(() => {}), store.commit("s", [event()], meta)]);
  expect(await fixture.kill(store)).toBeGreaterThan(1);
  await expect.poll(() => found(/a connection was lost/)).toHaveLength(1);
  await store.query(() => {});
  expect(found(/a connection was lost: .*57P01|a connection was lost: the connection was lost/)).toHaveLength(
    1,
  );
  await expect.poll(() => found(/connected to the server again/)).toHaveLength(1);
});

test("a listener that is lost is logged once, and that it is back", async () => {
  const store = await fixture.seeded({ notify: true });
  await store.notify?.(() => {});
  await fixture.kill(store);
  await expect.poll(() => found(/listening again/), { timeout: 20_000 }).toHaveLength(1);
  expect(found(/the connection that listens was lost; until it is back/)).toHaveLength(1);
  expect(lines.findIndex((line) => line.includes("was lost; until"))).toBeLessThan(
    lines.findIndex((line) => line.includes("listening again")),
  );
});

test("a store that is disposed of has lost nothing", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event()], meta);
  await store.dispose();
  expect(found(/lost/)).toEqual([]);
});

test("each blocked subscription is logged once, where it stands and without its error", async () => {
  const store = await fixture.seeded();
  await store.subscribe(["a", "b"].map((stream) => ({ stream, lane: "mail", correlated_at: 5 })));
  const leases = await store.claim(2, 0, "w", 60_000);
  const failed = leases.map((lease) => ({ ...lease, error: "secret" }));
  await store.block(failed);
  await store.block(failed);
  await setImmediate();
  expect(found(/is blocked/).sort()).toEqual(
    ["a", "b"].map((stream) =>
      expect.stringContaining(
        `the subscription "${stream}" (lane mail) is blocked at its beginning, after 1 attempt:`,
      ),
    ),
  );
  expect(lines.join()).not.toContain("secret");
});

test("a thousand blocked subscriptions are ten lines", async () => {
  const store = await fixture.seeded();
  const streams = Array.from({ length: 1_000 }, (_, n) => `s${n}`);
  await store.subscribe(streams.map((stream) => ({ stream, correlated_at: 5 })));
  const leases = await store.claim(1_000, 0, "w", 60_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "broken" })));
  await setImmediate();
  expect(found(/is blocked/)).toHaveLength(10);
});

test("a blocked subscription is logged where the ack that follows has left it", async () => {
  const store = await fixture.seeded();
  await store.subscribe(["a", "b"].map((stream) => ({ stream, correlated_at: 9 })));
  const leases = await store.claim(2, 0, "w", 60_000);
  // As the framework does: `a` had handled events up to 4 before it failed, `b` none.
  await store.block(leases.map((lease) => ({ ...lease, at: 9, error: "broken" })));
  await store.ack(leases.filter(({ stream }) => stream === "a").map((lease) => ({ ...lease, at: 4 })));
  await setImmediate();
  expect(found(/is blocked/).sort()).toEqual([
    expect.stringContaining('"a" (lane default) is blocked after event 4, after 1 attempt:'),
    expect.stringContaining('"b" (lane default) is blocked at its beginning, after 1 attempt:'),
  ]);
});

test("a blocked subscription is logged where it stands if the ack that follows fails", async () => {
  const store = await fixture.seeded();
  await store.subscribe([{ stream: "a", correlated_at: 9 }]);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("it was not claimed");
  await store.block([{ ...lease, error: "broken" }]);
  await expect(store.ack([{ ...lease, at: Number.NaN }])).rejects.toThrow();
  expect(found(/is blocked/)).toEqual([expect.stringContaining("is blocked at its beginning,")]);
});

test("a message tells how many were left out before it", () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  const throttle = new Throttle(2);
  const told: number[] = [];
  const tell = () => throttle.tell("key", (leftOut) => told.push(leftOut));
  for (let n = 0; n < 5; n++) tell();
  now.mockReturnValue(60_000);
  tell();
  tell();
  expect(told).toEqual([0, 0, 3, 0]);
});
