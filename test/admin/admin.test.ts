/** What the admin functions show of a store. */
import { describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { blockMailer, cause, withBacklog } from "./fixture.ts";

const fixture = useDatabase();

test("a store of something else is refused with what to pass", () => {
  expect(() => new Admin({})).toThrow(/Pass the store that you gave to store/);
});

test("a store behind a Proxy is found", async () => {
  const store = await fixture.seeded();
  const admin = new Admin(new Proxy(store, {}));
  expect((await admin.overview()).server.versionNumber).toBeGreaterThanOrEqual(140_000);
});

test("the overview counts subscriptions that are behind, blocked, leased and deferred", async () => {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  await store.claim(1, 0, "w", 60_000, "slow");
  await store.defer(["idle"], Date.now() + 60_000);
  const { events, subscriptions, correlators } = await new Admin(store).overview();
  expect(events).toMatchObject({ firstId: 1, lastId: 5 });
  expect(subscriptions).toEqual({
    all: { count: 3, exact: true },
    behind: { count: 2, exact: true },
    blocked: { count: 1, exact: true },
    leased: { count: 1, exact: true },
    deferred: { count: 1, exact: true },
  });
  expect(correlators).toBe(0);
});

test("a log of whose rows the statistics know nothing has no estimate, rather than none", async () => {
  const store = await fixture.seeded();
  const admin = new Admin(store);
  const estimate = async () => (await admin.overview()).events.estimate;
  const analyze = () => fixture.sql.unsafe(`analyze ${store.config.table}`);
  expect(await estimate()).toBeUndefined();
  // Of an empty table, as on Citus the coordinator's always is.
  await analyze();
  await store.commit("s", [{ name: "A", data: {} }], { correlation: "c", causation: {} });
  expect(await estimate()).toBeUndefined();
  await analyze();
  expect(await estimate()).toBe(1);
});

describe("lag", () => {
  test("counts the events that a subscription would get, not those of the log", async () => {
    const admin = new Admin(await withBacklog(fixture));
    const found = await admin.lag();
    expect(found.map(({ stream, events, next }) => [stream, events.count, next?.id])).toEqual([
      ["idle", 0, undefined],
      ["mailer", 4, 1],
      ["report", 1, 2],
    ]);
  });

  test("is counted in time since the next event was committed", async () => {
    const store = await withBacklog(fixture);
    await fixture.sql.unsafe(
      `update ${store.config.table} set created = now() - interval '90 seconds' where id = 2`,
    );
    const report = (await new Admin(store).lag()).find(({ stream }) => stream === "report");
    expect(report?.lagMs).toBeGreaterThanOrEqual(90_000);
    expect(report?.lagMs).toBeLessThan(120_000);
  });

  test("names the holder of a lease, and the lane can be chosen", async () => {
    const store = await withBacklog(fixture);
    await store.claim(1, 0, "worker-7", 60_000, "slow");
    const found = await new Admin(store).lag({ lane: "slow" });
    expect(found.map(({ stream, leasedBy }) => [stream, leasedBy])).toEqual([["report", "worker-7"]]);
  });

  test("is empty where everything was handled", async () => {
    const store = await fixture.seeded();
    expect(await new Admin(store).lag()).toEqual([]);
  });

  test("shows what is deferred, and until when", async () => {
    const store = await withBacklog(fixture);
    const until = Date.now() + 60_000;
    await store.defer(["report"], until);
    const report = (await new Admin(store).lag()).find(({ stream }) => stream === "report");
    expect(report?.deferredUntil).toEqual(new Date(until));
  });

  test("says nothing of a time that has come: what was deferred until then waits as all others do", async () => {
    const store = await withBacklog(fixture);
    const admin = new Admin(store);
    await store.defer(["report"], Date.now() - 1_000);
    const report = (await admin.lag()).find(({ stream }) => stream === "report");
    expect(report).toMatchObject({ deferredUntil: undefined });
    const { subscriptions } = await admin.subscriptions();
    expect(subscriptions.find(({ stream }) => stream === "report")).toMatchObject({
      deferredUntil: undefined,
    });
  });
});

describe("blocked work", () => {
  test("is shown with its error, its attempts and the event that it stands at", async () => {
    const store = await withBacklog(fixture);
    await blockMailer(store);
    const [only, ...others] = await new Admin(store).blocked();
    expect(others).toEqual([]);
    expect(only).toMatchObject({
      stream: "mailer",
      at: 1,
      error: "no such address",
      attempts: 1,
      event: { id: 2, stream: "order-2", name: "Placed", version: 0 },
    });
  });

  test("comes page by page", async () => {
    const store = await withBacklog(fixture);
    const all = await store.claim(10, 0, "w", 60_000);
    await store.block(all.map((lease) => ({ ...lease, error: "no" })));
    const admin = new Admin(store);
    const [first] = await admin.blocked({ limit: 1 });
    const rest = await admin.blocked({ after: first?.stream });
    expect([first?.stream, ...rest.map(({ stream }) => stream)]).toEqual(["idle", "mailer", "report"]);
  });
});

test("leases are shown with their holder and the time that is left", async () => {
  const store = await withBacklog(fixture);
  await store.claim(1, 0, "worker-7", 60_000, "slow");
  const [lease] = await new Admin(store).leases();
  expect(lease).toMatchObject({ stream: "report", lane: "slow", holder: "worker-7", attempts: 1 });
  expect(lease?.leftMs).toBeGreaterThan(50_000);
});

test("correlators are shown with checkpoint and holder", async () => {
  const store = await fixture.seeded();
  await store.subscribe([], 3, { key: "k", by: "worker-7", millis: 60_000 });
  const found = await new Admin(store).correlators();
  expect(found.find(({ key }) => key === "k")).toMatchObject({ at: 3, holder: "worker-7" });
});

test("the append lock names its holder and those that wait for it", async () => {
  const store = await fixture.seeded();
  const admin = new Admin(store);
  expect(await admin.appendLock()).toEqual({ holder: undefined, waiting: [] });
  const held = await fixture.hold(store);
  const commit = store.commit("s", [{ name: "Waited", data: {} }], cause("c"));
  await expect.poll(async () => (await admin.appendLock()).waiting.length).toBe(1);
  const { holder, waiting } = await admin.appendLock();
  expect(holder?.state).toBe("idle in transaction");
  expect(holder?.transactionMs).toBeGreaterThan(0);
  expect(waiting[0]?.application).toBe(store.config.application_name);
  await held.release();
  await commit;
});

test("connections are counted by application", async () => {
  const store = await fixture.seeded();
  const { applications, max, used } = await new Admin(store).connections();
  expect(
    applications.find(({ name }) => name === store.config.application_name)?.connections,
  ).toBeGreaterThan(0);
  expect(used).toBeLessThanOrEqual(max);
});

test("storage shows sizes of tables and indexes, and the share of ids that is used", async () => {
  const store = await withBacklog(fixture);
  const { tables, indexes, ids } = await new Admin(store).storage();
  const { table } = store.config;
  expect(tables.map((t) => t.table)).toEqual([table, `${table}_correlated`, `${table}_streams`]);
  expect(indexes.find(({ index }) => index === `${table}_stream_ix`)).toMatchObject({ table, valid: true });
  expect(indexes[0]?.bytes).toBeGreaterThan(0);
  expect(ids).toMatchObject({ used: 5, last: Number.MAX_SAFE_INTEGER });
});

describe("growth", () => {
  test("counts the events of the window", async () => {
    const store = await withBacklog(fixture);
    await fixture.sql.unsafe(
      `update ${store.config.table} set created = now() - interval '1 hour' where id <= 2`,
    );
    const longest = 6_000 * 365 * 86_400_000;
    expect((await new Admin(store).growth({ windowMs: longest })).events).toBeGreaterThan(0);
    const { events, perSecond } = await new Admin(store).growth({ windowMs: 60_000 });
    expect(events).toBe(3);
    expect(perSecond).toBeCloseTo(3 / 60);
  });

  test("is zero where nothing was committed lately, and for an empty log", async () => {
    const store = await withBacklog(fixture);
    await fixture.sql.unsafe(`update ${store.config.table} set created = now() - interval '1 hour'`);
    expect((await new Admin(store).growth()).events).toBe(0);
    expect((await new Admin(await fixture.seeded()).growth()).events).toBe(0);
  });
});

describe("events", () => {
  test("come newest first, with their keys and without payload", async () => {
    const admin = new Admin(await withBacklog(fixture));
    const found = await admin.events({ limit: 2 });
    expect(found.map(({ id }) => id)).toEqual([5, 4]);
    const [placed] = await admin.events({ stream: "order-1", streamExact: true, forward: true, limit: 1 });
    expect(placed).toMatchObject({
      keys: ["lines", "total"],
      data: undefined,
      actor: "Ada",
      action: "place",
    });
  });

  test("carry their payload on request", async () => {
    const admin = new Admin(await withBacklog(fixture));
    const [placed] = await admin.events({ names: ["Placed"], forward: true, limit: 1, payload: true });
    expect(placed?.data).toEqual({ total: 1, lines: [] });
  });

  test("never carry personal data, only that there is some", async () => {
    const store = await fixture.seeded();
    await store.commit("s", [{ name: "Joined", data: {}, pii: { email: "ada@example.org" } }], cause("c"));
    const found = await new Admin(store).events({ payload: true });
    expect(found[0]?.personal).toBe(true);
    expect(JSON.stringify(found)).not.toContain("ada@example.org");
  });

  test("are filtered by correlation and by time", async () => {
    const store = await withBacklog(fixture);
    await fixture.sql.unsafe(
      `update ${store.config.table} set created = now() - interval '1 hour' where id <= 2`,
    );
    const admin = new Admin(store);
    const filter = { correlation: "c-1", createdAfter: new Date(Date.now() - 60_000) };
    expect((await admin.events(filter)).map(({ id }) => id)).toEqual([4, 3]);
  });

  test("that lack what the framework writes into meta are shown, with what they are connected to", async () => {
    const store = await fixture.seeded();
    const metas = ["{}", "null", '{"correlation": "c", "causation": null}', '{"causation": {"event": null}}'];
    for (const [version, meta] of metas.entries())
      await fixture.sql.unsafe(
        `insert into ${store.config.table} (name, data, stream, version, meta) values ('N', '{}', 's', ${version}, '${meta}')`,
      );
    const admin = new Admin(store);
    const { events } = await admin.log();
    expect(events.map(({ correlation, cause }) => [correlation, cause])).toEqual([
      ["", undefined],
      ["c", undefined],
      ["", undefined],
      ["", undefined],
    ]);
    for (const event of events)
      expect(await admin.relations(event)).toMatchObject({ cause: undefined, effects: [] });
    expect((await admin.stream("s")).history).toHaveLength(4);
  });

  test("one is found by its id, and an absent one is undefined", async () => {
    const admin = new Admin(await withBacklog(fixture));
    expect(await admin.event(4)).toMatchObject({ id: 4, name: "Shipped", cause: { id: 1 }, data: {} });
    expect(await admin.event(99)).toBeUndefined();
  });
});

describe("a trace", () => {
  test("is the tree of causes across streams", async () => {
    const store = await withBacklog(fixture);
    const { roots, events, cut } = await new Admin(store).trace("c-1");
    expect([events, cut]).toEqual([4, false]);
    expect(roots.map(({ event }) => event.id)).toEqual([1, 2, 3]);
    const [effect] = roots[0]?.effects ?? [];
    expect(effect?.event.id).toBe(4);
    expect(effect?.afterMs).toBeGreaterThanOrEqual(0);
  });

  test("says when it was cut", async () => {
    const admin = new Admin(await withBacklog(fixture));
    const cut = await admin.trace("c-1", { limit: 2 });
    expect([cut.events, cut.cut, cut.roots.length]).toEqual([2, true, 2]);
  });
});

test.each(["infinity", "-infinity"])("an event of the time %s is shown without a date", async (created) => {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  const admin = new Admin(store);
  await fixture.sql.unsafe(`update ${store.config.table} set created = '${created}'`);
  const noDate = { created: new Date(Number.NaN) };
  expect((await admin.events())[0]).toMatchObject(noDate);
  expect((await admin.blocked())[0]?.event).toMatchObject(noDate);
  const [report] = (await admin.lag()).filter(({ stream }) => stream === "report");
  expect(report).toMatchObject({ lagMs: 0, next: noDate });
  const { correlation } = (await admin.events({ forward: true }))[0] ?? { correlation: "" };
  expect((await admin.trace(correlation)).durationMs).toBe(0);
  expect((await admin.overview()).events.lastCreated?.getTime()).not.toBeNaN();
  const skipped = { stream: "mailer", event: 2, by: "ada", reason: "cannot be dated" };
  expect(await admin.skip(skipped)).toMatchObject({ event: noDate });
  expect(await admin.skipped()).toMatchObject([{ event: noDate }]);
});

test("lag() leaves no prepared statement behind for each mixture of sources", async () => {
  const store = await fixture.seeded({ max: 1 });
  const { connections } = contextOf(store);
  const admin = new Admin(store);
  await store.commit("s", [{ name: "Noted", data: {} }], cause("c"));
  for (const source of [undefined, "s", "^s", "s$"]) {
    await store.subscribe([{ stream: `of ${source}`, source, correlated_at: 1 }]);
    await admin.lag();
  }
  const [kept] = await connections.read("test", {
    text: "select count(*)::int as statements from pg_prepared_statements where statement like '% as position, %'",
  });
  expect(kept).toEqual({ statements: 0 });
  expect((await admin.lag()).map(({ events }) => events.count)).toEqual([1, 1, 1, 1]);
});
