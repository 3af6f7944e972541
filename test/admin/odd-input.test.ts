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
