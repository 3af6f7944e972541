/** Work that no event announces: a listener finds it, and wakes its app with events that the app may react to. */
import type { Store, StoreNotification } from "@rotorsoft/act";
import { expect } from "vitest";
import { eventually, throughout } from "./kit/eventually.ts";
import { append, claimAll, notified } from "./kit/scenario.ts";
import { type Requirements, section } from "./kit/section.ts";

const listening: Requirements = {
  needs: ["notify", "shared", "sql"],
  options: { notify: true },
  timeout: 30_000,
};
/** In which a process recovers by itself. */
const SOON = { within: 10_000 };

async function recordNotifications(store: Store) {
  const received: StoreNotification[] = [];
  await notified(store, (notification) => received.push(notification));
  /** The names of events that were heard from now on. */
  const names = () => received.flatMap(({ events }) => events.map(({ name }) => name));
  return { received, names, forget: () => received.splice(0) };
}

/** Two subscriptions that have handled all that there is: three events on two streams. */
async function caughtUp(store: Store): Promise<void> {
  await append(store, "s", "A", "B");
  await append(store, "t", "C");
  const marked = ["s", "t"].map((source, n) => ({ stream: `of-${source}`, source, correlated_at: 2 + n }));
  await store.subscribe(marked, 3);
  await store.ack(
    (await claimAll(store)).map((lease) => ({ ...lease, at: lease.stream === "of-s" ? 2 : 3 })),
  );
}

const verbs: Record<string, (other: Store) => Promise<unknown>> = {
  reset: (other) => other.reset(["of-s"]),
  unblock: async (other) => {
    await other.reset(["of-s"]);
    await other.block((await claimAll(other)).map((lease) => ({ ...lease, error: "poison" })));
    return other.unblock(["of-s"]);
  },
  "a defer into the near future": async (other) => {
    await other.reset(["of-s"]);
    return other.defer(["of-s"], Date.now() + 500);
  },
  subscribe: (other) => other.subscribe([{ stream: "new", source: "s", correlated_at: 2 }]),
};

export const wake = section("wake", (line) => {
  for (const [name, verb] of Object.entries(verbs))
    line("N5", `${name} of another process wakes the app`, listening, async ({ store, second }) => {
      await caughtUp(store);
      const listener = await recordNotifications(store);
      const other = await second();
      await verb(other);
      await eventually(() => listener.names().includes("A") && listener.names().includes("B"), SOON);
      // Event C is behind the mark.
      expect(listener.names()).not.toContain("C");
    });

  line("N5", "a lease that runs out wakes the app, and not before", listening, async ({ store, second }) => {
    await caughtUp(store);
    const other = await second();
    await store.reset(["of-t"]);
    const millis = 1_500;
    const end = Date.now() + millis;
    expect(await claimAll(other, "victim", millis)).toHaveLength(1);
    const listener = await recordNotifications(store);
    await eventually(() => listener.names().includes("C"), SOON);
    expect(Date.now()).toBeGreaterThanOrEqual(end - 50);
  });

  line(
    "N5",
    "events that nobody has correlated wake a process that starts",
    listening,
    async ({ store, second }) => {
      await append(await second(), "s", "A");
      const listener = await recordNotifications(store);
      await eventually(() => listener.names().includes("A"), SOON);
      expect(listener.received).toEqual([{ stream: "s", events: [{ id: expect.any(Number), name: "A" }] }]);
    },
  );

  line("N5", "while there is nothing to do the app is not woken", listening, async ({ store, second }) => {
    await caughtUp(store);
    const other = await second();
    await store.subscribe(
      [
        { stream: "blocked", correlated_at: 3 },
        { stream: "late", correlated_at: 3 },
      ],
      3,
    );
    await store.block(
      (await claimAll(other))
        .filter(({ stream }) => stream === "blocked")
        .map((lease) => ({ ...lease, error: "poison" })),
    );
    await store.ack([{ stream: "late", by: "worker", at: -1, retry: 0, lagging: true }]);
    await store.defer(["late"], Date.now() + 3_600_000);
    const listener = await recordNotifications(store);
    await other.prioritize({}, 7);
    await throughout(6_000, () => listener.received.length === 0);
  });
});
