/** Personal data: in a column of its own, shown to who may see it, and gone when forgotten. */
import { randomBytes } from "node:crypto";
import { type Actor, act, REDACTED, SHREDDED, sensitive, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { on, settled, stopping, useApps } from "./fixture.ts";

const fixture = useApps();

const Person = state({
  Person: z.object({ plan: z.string(), email: z.string().optional(), born: z.date().optional() }),
})
  .init(() => ({ plan: "none" }))
  .emits({
    Joined: z.object({ plan: z.string(), email: sensitive(z.string()), born: sensitive(z.date()) }),
    Moved: z.object({ plan: z.string() }),
  })
  .on({ join: z.object({ plan: z.string(), email: z.string(), born: z.date() }) })
  .emit("Joined")
  .on({ move: z.object({ plan: z.string() }) })
  .emit("Moved")
  .discloses((event, { id }) => id === event.stream || id === "admin")
  .build();

const as = (id: string): Actor => ({ id, name: id });
const secret = { email: "ann@example.org", born: new Date("1990-05-17T00:00:00.000Z") };

async function joined(store: PostgresStore) {
  const app = stopping(act().withState(Person).build(on(store)));
  for (const stream of ["ann", "bob"])
    await app.do(
      "join",
      { stream, actor: as(stream) },
      { plan: "free", ...secret, email: `${stream}@example.org` },
    );
  await app.do("move", { stream: "ann", actor: as("ann") }, { plan: "paid" });
  return app;
}

/** The first event of a stream, as this actor is shown it. */
async function shown(store: PostgresStore, stream: string, actor?: Actor) {
  const app = stopping(
    act()
      .withState(Person)
      .build(on(fixture.beside(store))),
  );
  const events: unknown[] = [];
  await app.load(Person, { stream, actor }, ({ event }) => events.push(event?.data));
  return events[0];
}

test("what is sensitive is stored in its own column, and nowhere else", async () => {
  const store = await fixture.seeded();
  await joined(store);
  const rows = await fixture.sql`
    select id from ${fixture.table(store)} where data::text like '%example.org%' or meta::text like '%example.org%'`;
  expect([...rows]).toEqual([]);
  expect((await fixture.events(store)).map(({ stream, data, pii }) => ({ stream, data, pii }))).toEqual([
    {
      stream: "ann",
      data: { plan: "free" },
      pii: { email: "ann@example.org", born: secret.born.toISOString() },
    },
    {
      stream: "bob",
      data: { plan: "free" },
      pii: { email: "bob@example.org", born: secret.born.toISOString() },
    },
    { stream: "ann", data: { plan: "paid" }, pii: null },
  ]);
});

test("the owner and the admin see it, with its Date a Date; others see that there is something", async () => {
  const store = await fixture.seeded();
  await joined(store);
  const plain = { plan: "free", ...secret };
  expect(await shown(store, "ann", as("ann"))).toEqual(plain);
  expect(await shown(store, "ann", as("admin"))).toEqual(plain);
  const hidden = { plan: "free", email: REDACTED, born: REDACTED };
  expect(await shown(store, "ann", as("bob"))).toEqual(hidden);
  expect(await shown(store, "ann")).toEqual(hidden);
});

test("handlers never see it", async () => {
  const store = await fixture.seeded();
  const seen: unknown[] = [];
  const app = stopping(
    act()
      .withState(Person)
      .on("Joined")
      .do(async function welcome(event) {
        seen.push({ data: event.data, pii: event.pii });
      })
      .to("welcome")
      .build(on(store)),
  );
  await app.do("join", { stream: "ann", actor: as("ann") }, { plan: "free", ...secret });
  await settled(app);
  expect(seen).toEqual([{ data: { plan: "free" }, pii: undefined }]);
});

test("what is forgotten is gone from the table, of that stream only, once and for everybody", async () => {
  const store = await fixture.seeded();
  const app = await joined(store);
  const forgotten: string[] = [];
  app.on("forgotten", ({ stream, eventCount }) => forgotten.push(`${stream} ${eventCount}`));
  expect(await app.forget("ann")).toEqual({ eventCount: 1 });
  expect(await app.forget("ann")).toEqual({ eventCount: 0 });
  expect(forgotten).toEqual(["ann 1"]);
  const left = await fixture.sql`select stream from ${fixture.table(store)} where pii is not null`;
  expect(left.map(({ stream }) => stream)).toEqual(["bob"]);
  const shredded = { plan: "free", email: SHREDDED, born: SHREDDED };
  expect(await shown(store, "ann", as("ann"))).toEqual(shredded);
  expect(await shown(store, "bob", as("bob"))).toMatchObject({ email: "bob@example.org" });
  // Life goes on.
  await app.do("move", { stream: "ann", actor: as("ann") }, { plan: "gone" });
  expect((await app.load(Person, "ann")).state.plan).toBe("gone");
});

test("encrypted at rest, it reads the same through the app, and like nothing in the table", async () => {
  const key = randomBytes(32);
  const store = await fixture.seeded({ pii_encryption: { key } });
  await joined(store);
  const rows = await fixture.sql<{ pii: unknown; type: string }[]>`
    select pii, jsonb_typeof(pii) as type from ${fixture.table(store)} where pii is not null order by id`;
  expect(rows.map(({ type }) => type)).toEqual(["string", "string"]);
  for (const { pii } of rows) {
    const envelope = Buffer.from(String(pii), "base64");
    expect(envelope[0]).toBe(1);
    expect(envelope.includes("example.org")).toBe(false);
  }
  const reader = fixture.beside(store, { pii_encryption: { key } });
  const app = stopping(act().withState(Person).build(on(reader)));
  const events: unknown[] = [];
  await app.load(Person, { stream: "ann", actor: as("ann") }, ({ event }) => events.push(event?.data));
  expect(events[0]).toEqual({ plan: "free", ...secret });
  expect(await app.forget("ann")).toEqual({ eventCount: 1 });
  const left = await fixture.sql`select stream from ${fixture.table(store)} where pii is not null`;
  expect(left.map(({ stream }) => stream)).toEqual(["bob"]);
});
