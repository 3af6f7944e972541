/** Subscribing in the small: what is written, and what is left as it is. */
import { describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { within } from "../conformance/kit/eventually.ts";
import { pending, positionOf } from "../conformance/kit/scenario.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();
const table = ({ config }: PostgresStore, suffix: string) => `"${config.schema}"."${config.table}_${suffix}"`;

/** Another client's transaction that holds every subscription. */
async function held(store: PostgresStore): Promise<void> {
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  await sql.unsafe(`begin; select from ${table(store, "streams")} for update`);
}

test.each([
  ["as it is", { priority: 5, lane: "x", correlated_at: 7 }],
  ["with a lower priority and another lane", { priority: 4, lane: "y", correlated_at: 7 }],
  ["with a lower mark", { priority: 5, lane: "x", correlated_at: 6 }],
  ["without a mark", { priority: 5, lane: "x" }],
  ["with nothing", {}],
])("an entry that is there already, %s, waits for no lock and changes nothing", async (_, over) => {
  const store = await fixture.seeded();
  await store.subscribe([{ stream: "s", priority: 5, lane: "x", correlated_at: 7 }]);
  const before = await positionOf(store, "s");
  await held(store);
  const answer = await within(5_000, "subscribe", store.subscribe([{ stream: "s", ...over }]));
  expect(answer.subscribed).toBe(0);
  expect(await positionOf(store, "s")).toEqual(before);
});

test.each([
  ["a higher priority", { priority: 6, lane: "x" }, { priority: 6, lane: "x", correlated_at: 7 }],
  [
    "another lane at the same priority",
    { priority: 5, lane: "y" },
    { priority: 5, lane: "y", correlated_at: 7 },
  ],
  [
    "a higher mark",
    { priority: 0, lane: "y", correlated_at: 8 },
    { priority: 5, lane: "x", correlated_at: 8 },
  ],
])("%s is written, and only that", async (_, over, expected) => {
  const store = await fixture.seeded();
  await store.subscribe([{ stream: "s", priority: 5, lane: "x", correlated_at: 7 }]);
  await store.subscribe([{ stream: "s", ...over }]);
  expect(await positionOf(store, "s")).toMatchObject(expected);
});

test("a first mark is stored, even 0 and less", async () => {
  const store = await fixture.seeded();
  for (const mark of [0, -1, -7]) {
    await store.subscribe([{ stream: `s${mark}` }]);
    expect((await positionOf(store, `s${mark}`)).correlated_at).toBeUndefined();
    await store.subscribe([{ stream: `s${mark}`, correlated_at: mark }]);
    expect((await positionOf(store, `s${mark}`)).correlated_at).toBe(mark);
  }
});

test("null is no mark, alone and beside others, even lower than -1", async () => {
  const store = await fixture.seeded();
  const none = null as never;
  for (const [stream, marks, expected] of [
    ["null", [none], undefined],
    ["null twice", [none, none], undefined],
    ["none", [undefined, undefined], undefined],
    ["null before", [none, -7], -7],
    ["null between", [-7, none, -9], -7],
  ] as const) {
    const entries = marks.map((correlated_at) => ({ stream, correlated_at }));
    expect((await store.subscribe(entries)).subscribed).toBe(1);
    expect((await positionOf(store, stream)).correlated_at, stream).toBe(expected);
  }
});

test("several entries of one stream have the result of one call after the other", async () => {
  const store = await fixture.seeded();
  const [a, b, c] = [
    { stream: "s", source: "first", priority: 2, lane: "x", correlated_at: 3 },
    { stream: "s", source: "second", priority: 2, lane: "y", correlated_at: 9 },
    { stream: "s", priority: 1, lane: "z", correlated_at: null as never },
  ];
  expect((await store.subscribe([a, b, c])).subscribed).toBe(1);
  const folded = await positionOf(store, "s");
  expect(folded).toMatchObject({ source: "first", priority: 2, lane: "y", correlated_at: 9 });
  const other = await fixture.seeded();
  for (const one of [a, b, c]) await other.subscribe([one]);
  expect(await positionOf(other, "s")).toEqual(folded);
});

test("a checkpoint of 0 is stored, and -1 is none", async () => {
  const store = await fixture.seeded();
  expect((await store.subscribe([], -1)).correlated_at).toBe(-1);
  const rows = await fixture.sql.unsafe(`select from ${table(store, "correlated")}`);
  expect(rows.length).toBe(0);
  expect((await store.subscribe([], 0)).correlated_at).toBe(0);
  expect((await store.subscribe([])).correlated_at).toBe(0);
  expect((await store.subscribe([], -1)).correlated_at).toBe(0);
});

test("a correlator's lease has an expiry, however short; its release leaves the time and no holder", async () => {
  const store = await fixture.seeded();
  const end = async () => {
    const [row] = await fixture.sql.unsafe(
      `select leased_by, leased_until <= clock_timestamp() as ended from ${table(store, "correlated")} where key = 'k'`,
    );
    return { ...row };
  };
  for (const millis of [1, 5, 60_000]) {
    const { correlating } = await store.subscribe([], undefined, { key: "k", by: "w", millis });
    expect(correlating).toBe(true);
    expect(await end()).toEqual({ leased_by: "w", ended: millis < 60_000 ? expect.any(Boolean) : false });
  }
  for (const millis of [0, -1]) {
    const { correlating } = await store.subscribe([], undefined, { key: "k", by: "w", millis });
    expect(correlating).toBe(true);
    expect(await end()).toEqual({ leased_by: null, ended: true });
  }
});

test("a lease lasts as long as asked for, up to a hundred years", async () => {
  const DAY = 86_400_000;
  const store = await fixture.seeded();
  const end = async (suffix: string) => {
    const [row] = await fixture.sql.unsafe<{ days: number }[]>(
      `select extract(epoch from leased_until - now())::float8 / 86400 as days from ${table(store, suffix)}
       where leased_by = 'w'`,
    );
    return row?.days;
  };
  const spans = [
    [1.5 * DAY, 1.5],
    [10_000 * DAY, 10_000],
    [1e300, 36_525],
    [Number.POSITIVE_INFINITY, 36_525],
  ] as const;
  await pending(store, "s");
  for (const [millis, days] of spans) {
    await store.reset({});
    expect(await store.claim(1, 0, "w", millis)).toHaveLength(1);
    expect(await end("streams")).toBeCloseTo(days, 1);
    await store.subscribe([], undefined, { key: "k", by: "w", millis });
    expect(await end("correlated")).toBeCloseTo(days, 1);
  }
  for (const millis of [-1e300, Number.NEGATIVE_INFINITY]) {
    await store.reset({});
    // Over before it began: it is there for the next.
    expect(await store.claim(1, 0, "w", millis)).toHaveLength(1);
    expect(await end("streams")).toBeCloseTo(-36_525, 1);
  }
});

test("a reset and an unblock clear their columns, and leave the others", async () => {
  const store = await fixture.seeded();
  const arranged = async (stream: string) => {
    await pending(store, stream);
    const [lease] = await store.claim(1, 0, "w", 60_000);
    if (!lease) throw new Error("no lease");
    await store.ack([{ ...lease, at: 5 }]);
    const [again] = await store.claim(1, 0, "w", 60_000);
    if (!again) throw new Error("no lease");
    await store.block([{ ...again, error: "poison" }]);
    await fixture.sql.unsafe(`update ${table(store, "streams")} set deferred_at = now() + interval '1 hour'`);
    expect(await positionOf(store, stream)).toMatchObject({
      ...{ at: 5, retry: 0, blocked: true, error: "poison", leased_by: "w", correlated_at: 1_000_000 },
      ...{ leased_until: expect.any(Date), deferred_at: expect.any(Number) },
    });
  };
  const free = { retry: -1, blocked: false, error: "", leased_by: undefined, leased_until: undefined };
  await arranged("r");
  expect(await store.reset(["r"])).toBe(1);
  const reset = await positionOf(store, "r");
  expect(reset).toMatchObject({ ...free, at: -1, correlated_at: 1_000_000 });
  expect(reset).not.toHaveProperty("deferred_at");
  await store.ack(
    await store.claim(1, 0, "w", 0).then((all) => all.map((lease) => ({ ...lease, at: 1_000_000 }))),
  );
  await arranged("u");
  expect(await store.unblock({ blocked: true })).toBe(1);
  const unblocked = await positionOf(store, "u");
  expect(unblocked).toMatchObject({ ...free, at: 5, correlated_at: 1_000_000 });
  expect(unblocked).not.toHaveProperty("deferred_at");
  expect(await store.unblock(["u"])).toBe(0);
});

test("priorities beyond an integer are equal, so that the last of them says the lane", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "s", priority: 9e15, lane: "x" },
    { stream: "s", priority: 3e9, lane: "y" },
    { stream: "t", priority: 1.9, lane: "x" },
    { stream: "t", priority: 1.1, lane: "y" },
  ]);
  expect(await positionOf(store, "s")).toMatchObject({ priority: 2_147_483_647, lane: "y" });
  expect(await positionOf(store, "t")).toMatchObject({ priority: 1, lane: "y" });
});

describe("a trigger of somebody else", () => {
  /** Leaves rows out of a table of the store. */
  async function leavingOut(store: PostgresStore, suffix: string, when: string): Promise<void> {
    const name = `"${store.config.schema}"."${store.config.table}_${suffix}_none"`;
    await fixture.sql.unsafe(`create function ${name}() returns trigger language plpgsql as 'begin return null; end';
      create trigger none before insert on ${table(store, suffix)} for each row when (${when}) execute function ${name}()`);
  }
  const says = (reason: string) => ({
    name: "ERR_STORE",
    operation: "subscribe",
    cause: { message: expect.stringContaining(reason) },
  });

  test("that leaves out a subscription is reported, and the others are stored", async () => {
    const store = await fixture.seeded();
    await leavingOut(store, "streams", "new.stream = 'b'");
    const entries = ["a", "b", "c"].map((stream) => ({ stream }));
    await expect(store.subscribe(entries)).rejects.toMatchObject(
      says("left out 1 of 3 subscriptions: nobody would handle their events; fix or drop the trigger"),
    );
    expect((await store.subscribe([{ stream: "a" }, { stream: "c", priority: 2 }])).subscribed).toBe(0);
  });

  test("that leaves out the row of a correlator is reported", async () => {
    const store = await fixture.seeded();
    await leavingOut(store, "correlated", "new.key = 'k'");
    await expect(store.subscribe([], undefined, { key: "k", by: "w", millis: 1_000 })).rejects.toMatchObject(
      says("left out the correlator's row"),
    );
  });

  test("is not blamed when two processes subscribe the same at the same time", async () => {
    const store = await fixture.seeded();
    const entries = Array.from({ length: 200 }, (_, n) => ({ stream: `s${n}` }));
    const answers = await Promise.all(Array.from({ length: 8 }, () => store.subscribe(entries)));
    expect(answers.reduce((sum, { subscribed }) => sum + subscribed, 0)).toBe(200);
  });
});
