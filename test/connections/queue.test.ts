/** Commits that queue while another client holds the append lock: there is an end to how many. */
import { ConcurrencyError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { MAX_WAITING } from "../../src/events/queue.ts";
import { event, failureOf, meta, useScene } from "./scene.ts";

const scene = useScene();

test("a queue that is full refuses the next commit at once, and answers all that it took", async () => {
  const store = await scene.seeded();
  const lock = await scene.hold(store);
  // The first is on its way, and waits for the lock.
  const sent = store.commit("s", [event()], meta);
  await expect.poll(() => scene.lockWaiters()).toHaveLength(1);
  // These expect another version, so that answering them costs no rows.
  let refused = 0;
  const queued = Array.from({ length: MAX_WAITING }, () =>
    store.commit("s", [event()], meta, 7).catch((error: unknown) => {
      if (error instanceof ConcurrencyError) refused++;
    }),
  );
  const { error } = await failureOf(store.commit("s", [event()], meta));
  expect(error).toMatchObject({ operation: "commit", cause: { code: "QUEUE_FULL" } });
  await lock.release();
  await Promise.all([sent, ...queued]);
  expect(refused).toBe(MAX_WAITING);
  expect(await scene.rows(store)).toHaveLength(1);
});
