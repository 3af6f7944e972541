/** Sources that no query accepts, and arguments that PostgreSQL cannot store. */
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("a subscription whose source is no pattern of query() does not hide the others", async () => {
  const store = await fixture.seeded();
  await store.commit("x-1", [event("A")], meta);
  const sources = ["x(?=-1)", "x(", "\\bx", "a{999}", "^x-", "x-1"];
  await store.subscribe(sources.map((source) => ({ stream: `of ${source}`, source, correlated_at: 1 })));
  const admin = new Admin(store);
  const counts = Object.fromEntries((await admin.lag()).map(({ source, events }) => [source, events]));
  const unknown = { count: 0, exact: false };
  expect(counts).toEqual({
    ...Object.fromEntries(sources.slice(0, 4).map((source) => [source, unknown])),
    "^x-": { count: 1, exact: true },
    "x-1": { count: 1, exact: true },
  });
  const { subscriptions } = await admin.subscriptions();
  expect(subscriptions.map(({ waiting }) => waiting.count).sort()).toEqual([0, 0, 0, 0, 1, 1]);
  const leases = await store.claim(10, 0, "w", 60_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "refused" })));
  expect((await admin.blocked()).filter(({ event: at }) => at === undefined)).toHaveLength(4);
});

test("skip refuses what cannot be stored, and names the argument", async () => {
  const store = await fixture.seeded();
  const admin = new Admin(store);
  const given = { stream: "s", event: 1, by: "me", reason: "why" };
  for (const wrong of [{ reason: "a\0b" }, { by: "\ud800" }, { stream: "\0" }, { event: Number.NaN }])
    await expect(admin.skip({ ...given, ...wrong })).rejects.toThrow(ValidationError);
});

test("a limit is a whole number: anything else is refused with its name", async () => {
  const admin = new Admin(await fixture.seeded());
  const calls: Readonly<Record<string, (limit: number) => Promise<unknown>>> = {
    lag: (limit) => admin.lag({ limit }),
    leases: (limit) => admin.leases({ limit }),
    correlators: (limit) => admin.correlators({ limit }),
    blocked: (limit) => admin.blocked({ limit }),
    subscriptions: (limit) => admin.subscriptions({ limit }),
    streamNames: (limit) => admin.streamNames({ limit }),
    skipped: (limit) => admin.skipped({ limit }),
    events: (limit) => admin.events({ limit }),
    log: (limit) => admin.log({ limit }),
    trace: (limit) => admin.trace("c", { limit }),
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const limit of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1.5, 1e300])
      await expect(call(limit), `${name} ${limit}`).rejects.toThrow(ValidationError);
    await expect(call(0), name).resolves.toBeDefined();
  }
});

test("an argument that is left out fails at once, and the connection goes on", async () => {
  const store = await fixture.seeded({ max: 1 });
  const admin = new Admin(store);
  // As a caller without types may.
  const nothing = undefined as unknown as string;
  for (const call of [
    () => admin.stream(nothing),
    () => admin.readers(nothing),
    () => admin.release({ stream: nothing }),
  ]) {
    await expect(call()).rejects.toMatchObject({
      cause: { message: expect.stringContaining("an argument is missing") },
    });
    expect((await admin.overview()).events.lastId).toBeUndefined();
  }
  await expect(admin.event(nothing as unknown as number)).rejects.toThrow(ValidationError);
});
