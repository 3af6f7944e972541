/** Deferred reactions: schedules that the database keeps. */
import { act, DeferSignal, state } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { actor, on, settled, stopping, useApps } from "./fixture.ts";

const fixture = useApps();

const Reminder = state({ Reminder: z.object({ count: z.number() }) })
  .init(() => ({ count: 0 }))
  .emits({ Planned: z.object({ due: z.date() }) })
  .patch({ Planned: (_, { count }) => ({ count: count + 1 }) })
  .on({ plan: z.object({ due: z.date() }) })
  .emit("Planned")
  .build();

/**
 * An app that notes each reminder when it is due. `waking`: its lane looks by itself, too, once it is told that
 * something is due. Beside settle() a look that finds nothing may forget what came meanwhile (act 1.31.26,
 * docs/guides/reliability.md), so only the tests that are about waking have it, and they are settled before it begins.
 */
const reminders = (store: PostgresStore, name: string, { waking = false } = {}) =>
  stopping(
    act()
      .withState(Reminder)
      .withLane({ name: "clock", ...(waking && { cycleMs: 5 }) })
      .on("Planned")
      .defer(({ data }) => ({ at: data.due }))
      .do(async function remind(event, target) {
        await fixture.note(target, event);
      })
      .to(({ stream }) => ({ target: `${name}-${stream}`, source: stream, lane: "clock" as const }))
      .build(on(store)),
  );

const HOUR = 3_600_000;

test("what is not due is kept for its time in the database, and its attempts do not count", async () => {
  const store = await fixture.seeded();
  const app = reminders(store, "later");
  const due = new Date(Date.now() + HOUR);
  await app.do("plan", { stream: "s", actor }, { due });
  await settled(app);
  expect(await fixture.subscription(store, "later-s")).toMatchObject({
    due: due.getTime(),
    at: -1,
    retry: -1,
    leased_by: null,
    blocked: false,
  });
  expect(await fixture.worked("later-")).toEqual([]);
});

test("a reminder is handled once when it is due, not before", async () => {
  const store = await fixture.seeded();
  const app = reminders(store, "soon");
  const due = new Date(Date.now() + 400);
  await app.do("plan", { stream: "s", actor }, { due });
  const worked = async () => {
    await settled(app);
    return fixture.worked("soon-");
  };
  await expect.poll(worked, { interval: 10 }).toHaveLength(1);
  expect(Date.now()).toBeGreaterThanOrEqual(due.getTime());
  expect(await fixture.unfinished(store)).toEqual([]);
  expect(await fixture.subscription(store, "soon-s")).toMatchObject({ due: null, retry: -1 });
  expect(await fixture.worked("soon-")).toHaveLength(1);
});

test("a schedule outlives its process: the next one wakes for it without a commit", async () => {
  const store = await fixture.seeded();
  const first = reminders(store, "kept");
  const due = new Date(Date.now() + 1_000);
  await first.do("plan", { stream: "s", actor }, { due });
  await settled(first);
  await first.shutdown();
  expect(await fixture.subscription(store, "kept-s")).toMatchObject({ due: due.getTime() });

  const next = reminders(fixture.beside(store), "kept", { waking: true });
  await settled(next);
  await expect.poll(() => fixture.worked("kept-"), { interval: 10 }).toHaveLength(1);
  await expect.poll(() => fixture.unfinished(store)).toEqual([]);
  expect(Date.now()).toBeGreaterThanOrEqual(due.getTime());
});

test("events before the deferred one are done for good", async () => {
  const store = await fixture.seeded();
  const app = reminders(store, "partly");
  const past = new Date(Date.now() - HOUR);
  const due = new Date(Date.now() + HOUR);
  for (const at of [past, past, due, past]) await app.do("plan", { stream: "s", actor }, { due: at });
  await settled(app);
  const ids = (await fixture.events(store)).map(({ id }) => id);
  const held = { at: ids[1], due: due.getTime(), retry: -1 };
  expect(await fixture.subscription(store, "partly-s")).toMatchObject(held);
  expect((await fixture.worked("partly-")).map(({ event }) => event)).toEqual(ids.slice(0, 2));

  // An operator brings it forward: the handler, asked too early, is held back again, from where it was.
  await app.shutdown();
  expect(await store.defer(["partly-s"], Date.now() - 1)).toBe(1);
  await settled(reminders(fixture.beside(store), "partly"));
  expect(await fixture.subscription(store, "partly-s")).toMatchObject(held);
  expect((await fixture.worked("partly-")).map(({ event }) => event)).toEqual(ids.slice(0, 2));
});

test("a handler may defer itself, for as long as it wants", async () => {
  const store = await fixture.seeded();
  let ready = false;
  const app = stopping(
    act()
      .withState(Reminder)
      .on("Planned")
      .do(async function wait(event, target) {
        if (!ready) throw new DeferSignal({ at: event.data.due });
        await fixture.note(target, event);
      })
      .to({ target: "own-time" })
      .build(on(store)),
  );
  const due = new Date(Date.now() + HOUR);
  await app.do("plan", { stream: "s", actor }, { due });
  await settled(app);
  expect(await fixture.subscription(store, "own-time")).toMatchObject({ due: due.getTime(), at: -1 });
  ready = true;
  expect(await store.defer(["own-time"], Date.now() - 1)).toBe(1);
  const next = act()
    .withState(Reminder)
    .on("Planned")
    .do(async function wait(event, target) {
      await fixture.note(target, event);
    })
    .to({ target: "own-time" })
    .build(on(fixture.beside(store)));
  await settled(stopping(next));
  expect(await fixture.subscription(store, "own-time")).toMatchObject({ due: null, at: 1 });
  expect(await fixture.worked("own-time")).toHaveLength(1);
});
