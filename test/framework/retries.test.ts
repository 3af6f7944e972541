/** Handlers that fail: tried again with a growing pause, then blocked, then unblocked and done. */
import { act, NonRetryableError, type ReactionOptions } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import {
  Account,
  type EventRow,
  on,
  type SubscriptionRow,
  settled,
  stopping,
  useApps,
  writer,
} from "./fixture.ts";

const fixture = useApps();

type Fail = (event: Pick<EventRow, "id" | "stream">) => Error | undefined | Promise<Error>;

/** It looks when it is told to, by settle(): see `due`. */
function failing(store: PostgresStore, name: string, options: Partial<ReactionOptions>, fail: Fail) {
  return stopping(
    act()
      .withState(Account)
      .withLane({ name: "own", leaseMillis: 10_000 })
      .on("Deposited")
      .do(async function attempt(event, target) {
        const error = await fail(event);
        await fixture.note(target, event, error ? "failed" : "done");
        if (error) throw error;
      }, options)
      .to(({ stream }) => ({ target: `${name}-${stream}`, source: stream, lane: "own" as const }))
      .build(on(store)),
  );
}

type App = ReturnType<typeof failing>;

/** A look at what the probe finds, after the app has done what is due. */
const due =
  <T>(app: App, probe: () => Promise<T>) =>
  async () => {
    await settled(app);
    return probe();
  };

/** The row as soon as it satisfies the condition. */
async function seen(
  app: App,
  store: PostgresStore,
  stream: string,
  wanted: (row: SubscriptionRow) => boolean,
) {
  let found: SubscriptionRow | undefined;
  const probe = async () => {
    found = await fixture.subscription(store, stream);
    return wanted(found);
  };
  await expect.poll(due(app, probe), { interval: 5 }).toBe(true);
  if (!found) throw new Error("Never looked");
  return found;
}

/** An attempt by the clocks of process and server, and when the row says that it is due: ms since the epoch. */
type Attempt = { readonly began: number; readonly clock: number; readonly due: number | null };

async function attempted({ config }: PostgresStore, stream: string): Promise<Attempt> {
  const { sql } = fixture;
  const began = Date.now();
  const [row] = await sql<{ clock: number; due: number | null }[]>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as clock,
      (extract(epoch from deferred_at) * 1000)::float8 as due
    from ${sql(config.schema)}.${sql(`${config.table}_streams`)} where stream = ${stream}`;
  if (!row) throw new Error(`No subscription ${stream}`);
  return { began, ...row };
}

test("attempts are paced by the schedule in the database, then the stream is blocked with its error", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1, 2);
  const backoff = { strategy: "exponential", baseMs: 150 } as const;
  const attempts: Attempt[] = [];
  const app = failing(store, "paced", { maxRetries: 2, blockOnError: true, backoff }, async () => {
    attempts.push(await attempted(store, "paced-s"));
    return new Error("no disk");
  });
  // Each failure leaves its retry and a due time behind, and no lease.
  const first = await seen(app, store, "paced-s", ({ due, leased_by }) => due !== null && leased_by === null);
  expect(first).toMatchObject({ at: -1, blocked: false });
  expect(first.retry).toBeLessThan(2);
  const last = await seen(app, store, "paced-s", ({ blocked }) => blocked);
  expect(last).toMatchObject({ retry: 2, at: -1, due: null });
  expect(last.error).toContain("no disk");
  expect((await fixture.worked("paced-s")).map(({ by }) => by)).toEqual(["failed", "failed", "failed"]);
  expect(attempts.map(({ due }) => due !== null)).toEqual([false, true, true]);
  // Lower bounds only: how late an attempt comes is the machine's affair.
  for (const [k, pause] of [150, 300].entries()) {
    const [failed, next] = attempts.slice(k, k + 2);
    const due = Number(next?.due);
    expect(due, `schedule after attempt ${k}`).toBeGreaterThanOrEqual(Number(failed?.began) + pause);
    // It is due by either clock, and a claim allows for a timer that fires a millisecond early.
    const latest = Math.max(Number(next?.clock), Number(next?.began) + 1);
    expect(latest, `attempt ${k + 1}`).toBeGreaterThanOrEqual(due);
  }
});

test("an unblocked stream goes on with the event that failed, and others were never held up", async () => {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (const stream of ["bad", "good"]) await deposit(stream, 1, 2, 3);
  let broken = true;
  const fail: Fail = ({ stream }) => (broken && stream === "bad" ? new Error("poison") : undefined);
  const backoff = { strategy: "fixed", baseMs: 1 } as const;
  const app = failing(store, "heal", { maxRetries: 1, blockOnError: true, backoff }, fail);
  await seen(app, store, "heal-bad", ({ blocked }) => blocked);
  const good = (await fixture.events(store, "good")).map(({ id }) => id);
  const worked = async () => (await fixture.worked("heal-good")).map(({ event }) => event);
  await expect.poll(due(app, worked)).toEqual(good);
  broken = false;
  expect(await app.unblock({ stream: "^heal-" })).toBe(1);
  await expect.poll(due(app, () => fixture.unfinished(store))).toEqual([]);
  const done = (await fixture.worked("heal-bad")).filter(({ by }) => by === "done");
  expect(done.map(({ event }) => event)).toEqual((await fixture.events(store, "bad")).map(({ id }) => id));
  expect(await fixture.subscription(store, "heal-bad")).toMatchObject({
    retry: -1,
    error: null,
    blocked: false,
  });
});

test("what succeeded before the failure is not repeated", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1, 2, 3, 4);
  const ids = (await fixture.events(store)).map(({ id }) => id);
  let failures = 2;
  const fail: Fail = ({ id }) => (id === ids[2] && failures-- > 0 ? new Error("twice") : undefined);
  const backoff = { strategy: "fixed", baseMs: 1 } as const;
  const app = failing(store, "resume", { maxRetries: 5, blockOnError: true, backoff }, fail);
  await expect.poll(due(app, () => fixture.unfinished(store))).toEqual([]);
  expect((await fixture.worked("resume-s")).map(({ event, by }) => `${event} ${by}`)).toEqual([
    `${ids[0]} done`,
    `${ids[1]} done`,
    `${ids[2]} failed`,
    `${ids[2]} failed`,
    `${ids[2]} done`,
    `${ids[3]} done`,
  ]);
});

test("an error that no retry can mend blocks at the first attempt", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1);
  const fatal = () => new NonRetryableError("gone for good");
  const app = failing(store, "fatal", { maxRetries: 9, blockOnError: true }, fatal);
  expect(await seen(app, store, "fatal-s", ({ blocked }) => blocked)).toMatchObject({ retry: 0 });
  expect(await fixture.worked("fatal-s")).toHaveLength(1);
});

test("where errors do not block, attempts go on beyond their limit until one succeeds", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1);
  let failures = 5;
  const fail: Fail = () => (failures-- > 0 ? new Error("again") : undefined);
  const backoff = { strategy: "linear", baseMs: 1 } as const;
  const app = failing(store, "stubborn", { maxRetries: 1, blockOnError: false, backoff }, fail);
  await expect.poll(due(app, () => fixture.unfinished(store))).toEqual([]);
  expect((await fixture.worked("stubborn-s")).map(({ by }) => by)).toEqual([
    ...Array.from({ length: 5 }, () => "failed"),
    "done",
  ]);
  expect(await fixture.subscription(store, "stubborn-s")).toMatchObject({ retry: -1, due: null });
});

test("the attempts of one process count for the next", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1);
  const backoff = { strategy: "fixed", baseMs: 3_600_000 } as const;
  const options = { maxRetries: 1, blockOnError: true, backoff };
  const first = failing(store, "handed", options, () => new Error("first"));
  expect(await seen(first, store, "handed-s", ({ due }) => due !== null)).toMatchObject({
    retry: 0,
    blocked: false,
  });
  await first.shutdown();
  // Its time has come, as if the hour had passed.
  await fixture.sql`
    update ${fixture.sql(store.config.schema)}.${fixture.sql(`${store.config.table}_streams`)}
    set deferred_at = now() - interval '1 second'`;
  const second = failing(fixture.beside(store), "handed", options, () => new Error("second"));
  const row = await seen(second, store, "handed-s", ({ blocked }) => blocked);
  expect(row.retry).toBe(1);
  expect(row.error).toContain("second");
});
