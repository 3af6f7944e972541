/** A store with one healthy, one lagging and one blocked subscription. */
import type { PostgresStore } from "../../src/index.ts";
import type { DatabaseFixture } from "../postgres/fixture.ts";

export const cause = (correlation: string, event?: { id: number; name: string; stream: string }) => ({
  correlation,
  causation: event
    ? { event }
    : { action: { name: "place", stream: "order-1", actor: { id: "7", name: "Ada" } } },
});

/** Ids 1 to 5: `Placed` in order-1, order-2, order-3, then `Shipped` in order-1 and `Noted` in other-1. */
export async function withBacklog(fixture: DatabaseFixture): Promise<PostgresStore> {
  const store = await fixture.seeded();
  for (const n of [1, 2, 3])
    await store.commit(`order-${n}`, [{ name: "Placed", data: { total: n, lines: [] } }], cause("c-1"));
  await store.commit(
    "order-1",
    [{ name: "Shipped", data: {} }],
    cause("c-1", { id: 1, name: "Placed", stream: "order-1" }),
  );
  await store.commit("other-1", [{ name: "Noted", data: {} }], cause("c-2"));
  await store.subscribe([
    { stream: "mailer", source: "^order-", correlated_at: 5, priority: 10 },
    { stream: "report", source: "order-2", correlated_at: 5, lane: "slow" },
    { stream: "idle", source: "nobody", correlated_at: 1 },
  ]);
  return store;
}

/** The mailer has handled event 1 and is blocked at event 2. */
export async function blockMailer(store: PostgresStore): Promise<void> {
  const first = (await store.claim(1, 0, "w", 60_000)).find(({ stream }) => stream === "mailer");
  if (!first) throw new Error("The mailer was not claimed");
  await store.ack([{ ...first, at: 1 }]);
  const [second] = await store.claim(1, 0, "w", 60_000);
  if (second?.stream !== "mailer") throw new Error("The mailer was not claimed again");
  await store.block([{ ...second, error: "no such address" }]);
}
