/** skip: a blocked subscription goes past the event that it stands at, and a record says who did so. */
import { expect, test } from "vitest";
import { Admin, SkipError } from "../../src/admin/index.ts";
import { skip } from "../../src/admin/skip.ts";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";
import { blockMailer, withBacklog } from "./fixture.ts";

const fixture = useDatabase();
const SKIP = { stream: "mailer", event: 2, by: "ada", reason: "address was deleted" };

async function broken(): Promise<{ store: PostgresStore; admin: Admin }> {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  return { store, admin: new Admin(store) };
}

test("the next claim gets the event behind the skipped one, as a first attempt", async () => {
  const { store, admin } = await broken();
  await admin.skip(SKIP);
  expect(await admin.blocked()).toEqual([]);
  const [lease] = await store.claim(1, 0, "other", 10_000);
  expect(lease).toMatchObject({ stream: "mailer", at: 2, retry: 0 });
});

test("a late ack of the worker that blocked it does not set it back", async () => {
  const { store, admin } = await broken();
  await admin.skip(SKIP);
  expect(
    await store.ack([
      { stream: "mailer", source: "^order-", at: 1, by: "w", retry: 0, lagging: true, lane: "default" },
    ]),
  ).toEqual([]);
  const [lease] = await store.claim(1, 0, "other", 10_000);
  expect(lease?.at).toBe(2);
});

test("records who skipped which event, when, why, and what the handler had said", async () => {
  const { admin } = await broken();
  const before = Date.now() - 60_000;
  const done = await admin.skip(SKIP);
  expect(done).toMatchObject({
    stream: "mailer",
    by: "ada",
    reason: "address was deleted",
    error: "no such address",
    attempts: 1,
    event: { id: 2, stream: "order-2", version: 0, name: "Placed" },
  });
  expect(done.skippedAt.getTime()).toBeGreaterThan(before);
  expect(await admin.skipped()).toEqual([done]);
  expect(await admin.skipped({ stream: "report" })).toEqual([]);
});

test("a second skip is recorded beside the first, and a reset keeps both", async () => {
  const { store, admin } = await broken();
  await admin.skip(SKIP);
  const [lease] = await store.claim(1, 0, "w", 60_000);
  if (!lease) throw new Error("The mailer was not claimed");
  await store.block([{ ...lease, error: "again" }]);
  await admin.skip({ ...SKIP, event: 3 });
  await store.reset(["mailer"]);
  expect((await admin.skipped()).map(({ event, error }) => [event.id, error])).toEqual([
    [3, "again"],
    [2, "no such address"],
  ]);
});

test.each([
  ["stands at another event", { event: 3 }, "stands at event 2, not at 3"],
  ["is not blocked", { stream: "report" }, "is not blocked"],
  ["does not exist", { stream: "nobody" }, "There is no subscription"],
  ["is skipped by nobody", { by: " " }, "needs `by`"],
  ["is skipped for no reason", { reason: "" }, "needs `reason`"],
])("a subscription that %s is refused, and stays as it is", async (_, change, message) => {
  const { admin } = await broken();
  const { error } = await failureOf(admin.skip({ ...SKIP, ...change }));
  expect(error).toBeInstanceOf(SkipError);
  expect(error).toHaveProperty("message", expect.stringContaining(message));
  expect((await admin.blocked()).map(({ stream }) => stream)).toEqual(["mailer"]);
  expect(await admin.skipped()).toEqual([]);
});

test("of 16 operators who skip the same event at once one succeeds, and one event is skipped", async () => {
  const { store, admin } = await broken();
  const outcomes = await Promise.allSettled(Array.from({ length: 16 }, () => admin.skip(SKIP)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes)
    if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(SkipError);
  expect(await admin.skipped()).toHaveLength(1);
  const [lease] = await store.claim(1, 0, "other", 10_000);
  expect(lease?.at).toBe(2);
});

test("tells the listeners of other processes that there is work", async () => {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  const { schema, table } = store.config;
  const received = new Promise<string>((resolve) => {
    void fixture.sql.listen(`act_commit_${schema}_${table}`, resolve).then(() => {
      const operator = fixture.store({ table, notify: true });
      return new Admin(operator).skip(SKIP);
    });
  });
  expect(JSON.parse(await received)).toMatchObject({ claimable: true });
});

test("is refused if the time is up before the event of a pattern was found, and changes nothing", async () => {
  const { store, admin } = await broken();
  const { error } = await failureOf(skip(contextOf(store), SKIP, 0));
  expect(error).toBeInstanceOf(SkipError);
  expect(error).toHaveProperty(
    "message",
    expect.stringMatching(/not found within 0 s.* Nothing was skipped: /),
  );
  expect((await admin.blocked()).map(({ stream }) => stream)).toEqual(["mailer"]);
});

test("an event before that at which it stands is refused, and the error names the one", async () => {
  const { admin } = await broken();
  const { error } = await failureOf(admin.skip({ ...SKIP, event: 1 }));
  expect(error).toHaveProperty("message", expect.stringContaining("stands at event 2, not at 1"));
});

test("an event far behind the watermark is found, also by a rare pattern", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table} (id, name, data, stream, version, meta)
    overriding system value values (1, 'N', '{}', 'other', 0, '{}'), (250000, 'Placed', '{}', 'order-1', 0, '{}'),
      (350000, 'Placed', '{}', 'order-2', 0, '{}')`);
  await store.subscribe([{ stream: "mailer", source: "^order-", correlated_at: 350_000 }]);
  const leases = await store.claim(1, 0, "w", 60_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "no such address" })));
  const admin = new Admin(store);
  const next = { id: 250_000, stream: "order-1" };
  expect(await admin.blocked()).toMatchObject([{ event: next }]);
  const { subscriptions } = await admin.subscriptions();
  expect(subscriptions).toMatchObject([{ next, waiting: { exact: false } }]);
  const { error } = await failureOf(admin.skip({ ...SKIP, event: 350_000 }));
  expect(error).toMatchObject({ message: expect.stringContaining("stands at event 250000") });
  expect(await admin.skip({ ...SKIP, event: 250_000 })).toMatchObject({ event: next });
});

test.each([
  ["that the server cannot match", `(${"a?".repeat(40)}){200}`],
  ["that nothing matches", "^absent-"],
])("a work mark beyond the end of the log, and a source %s, end the search", async (_, source) => {
  const store = await fixture.seeded();
  await store.commit("s", [{ name: "N", data: {} }], { correlation: "c", causation: {} });
  await store.subscribe([{ stream: "mailer", source, correlated_at: Number.MAX_SAFE_INTEGER }]);
  const leases = await store.claim(1, 0, "w", 60_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "no such address" })));
  const { error, millis } = await failureOf(new Admin(store).skip(SKIP));
  expect(error).toBeInstanceOf(SkipError);
  expect(millis).toBeLessThan(5_000);
});
