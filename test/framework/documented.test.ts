/** What the guides say of Act on this store, and what they tell to do. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { act, ConcurrencyError, type Query, type Schemas, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { actor, on, settled, stopping, useApps } from "./fixture.ts";

const fixture = useApps();
const guide = (page: string) => readFileSync(join(import.meta.dirname, "../../docs", page), "utf8");

const Placed = z.object({ text: z.string(), due: z.date() });
const Order = state({ Order: z.object({ placed: z.number(), text: z.string(), due: z.date().optional() }) })
  .init(() => ({ placed: 0, text: "" }))
  .emits({ Placed })
  .patch({ Placed: ({ data }, { placed }) => ({ placed: placed + 1, text: data.text, due: data.due }) })
  .on({ place: Placed })
  .emit("Placed")
  .build();

const ordering = (store: PostgresStore) => stopping(act().withState(Order).build(on(store)));
const order = { text: "2024-01-02T00:00:00.000Z", due: new Date("2030-01-02T03:04:05.678Z") };

test("two first actions on one new stream both succeed, unless each says expectedVersion: -1", async () => {
  const store = await fixture.seeded();
  const apps = [ordering(store), ordering(fixture.beside(store))];
  const twice = (target: { stream: string; expectedVersion?: number }) =>
    Promise.allSettled(apps.map((app) => app.do("place", { ...target, actor }, order)));
  const both = await twice({ stream: "unguarded" });
  expect(both.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
  const guarded = await twice({ stream: "guarded", expectedVersion: -1 });
  expect(guarded.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  const reason = guarded.find((result) => result.status === "rejected")?.reason;
  expect(reason).toBeInstanceOf(ConcurrencyError);
});

test("rows whose dates nobody recorded: Act revives what the schema declares a date, and no string", async () => {
  const writer = await fixture.seeded();
  await ordering(writer).do("place", { stream: "o", actor }, order);
  // As another adapter leaves a row.
  await fixture.sql`update ${fixture.table(writer)} set dates = null`;
  const exact = ordering(fixture.beside(writer));
  expect((await exact.load(Order, "o")).state).toMatchObject(order);
  expect((await exact.query_array({ stream: "o" }))[0]?.data).toEqual(order);

  const revive = fixture.beside(writer, { dates: "revive" });
  const { state } = await ordering(revive).load(Order, "o");
  expect(state).toMatchObject({ due: order.due, text: new Date(order.text) });
  // For whom it is: whoever reads without Act's schemas.
  const raw = async (store: PostgresStore) => {
    const dates: unknown[] = [];
    await store.query<{ Placed: z.infer<typeof Placed> }>(({ data }) => void dates.push(data.due));
    return dates;
  };
  expect(await raw(fixture.beside(writer))).toEqual([order.due.toISOString()]);
  expect(await raw(revive)).toEqual([order.due]);
});

test("app.restore leaves snapshots out, unless the source asks for them with with_snaps", async () => {
  const source = await fixture.seeded();
  await ordering(source).do("place", { stream: "o", actor }, order);
  await source.truncate([{ stream: "o", snapshot: { placed: 12, text: "" } }]);
  const names = async (store: PostgresStore) => (await fixture.events(store)).map(({ name }) => name);
  expect(await names(source)).toEqual(["__snapshot__"]);

  const without = await fixture.seeded();
  const report = await ordering(without).restore(source);
  expect([report.kept, report.dropped.snapshots, await names(without)]).toEqual([0, 0, []]);

  const withSnapshots = await fixture.seeded();
  const all = {
    query: <E extends Schemas>(callback: Parameters<typeof source.query<E>>[0], query?: Query) =>
      source.query<E>(callback, { ...query, with_snaps: true }),
    dispose: async () => {},
  };
  await ordering(withSnapshots).restore(all);
  expect(await names(withSnapshots)).toEqual(["__snapshot__"]);
  expect((await ordering(withSnapshots).load(Order, "o")).state.placed).toBe(12);
});

test("a subscription that an event blocks goes on behind it by the guide's command, and not by unblock alone", async () => {
  const store = await fixture.seeded();
  let poisoned = -1;
  const handled: number[] = [];
  const app = stopping(
    act()
      .withState(Order)
      .on("Placed")
      .do(
        async function mail({ id }) {
          if (id === poisoned) throw new Error("no such address");
          handled.push(id);
        },
        { maxRetries: 0, blockOnError: true },
      )
      .to("mailer")
      .build(on(store)),
  );
  for (const stream of ["a", "b", "c"]) await app.do("place", { stream, actor }, order);
  const [first = -1, second = -1, third = -1] = (await fixture.events(store)).map(({ id }) => id);
  poisoned = second;
  await settled(app);
  expect(await fixture.subscription(store, "mailer")).toMatchObject({ blocked: true });

  await app.unblock(["mailer"]);
  await settled(app);
  expect(await fixture.subscription(store, "mailer")).toMatchObject({ blocked: true });
  expect(handled).toEqual([first]);

  const command = /act-drizzle skip (\w+) --event 4711 --reason "(.*)"/;
  const [, stream = "", reason = ""] = command.exec(guide("guides/reliability.md")) ?? [];
  await new Admin(store).skip({ stream, event: second, by: "ada", reason });
  expect(await fixture.subscription(store, "mailer")).toMatchObject({ blocked: false });
  // The store does not notify, so the app claims again after the next event.
  await app.do("place", { stream: "d", actor }, order);
  await settled(app);
  expect(handled.slice(0, 2)).toEqual([first, third]);
  expect(await fixture.unfinished(store)).toEqual([]);
});
