/**
 * Workers are killed at each step from the claim to the acknowledgement, by stops in the code, and started again. What
 * they have in the read models is then compared with a fold of the log. It does not cover a power cut of the server.
 */
import { expect, test } from "vitest";
import { useApps } from "../../framework/fixture.ts";
import { scale } from "../kit/scale.ts";
import { Arena, STALLED } from "./arena.ts";
import { STEPS } from "./steps.ts";

const fixture = useApps();
const KILLS = Number(process.env.KILLS ?? scale(40, 1_000));
/** At once: each finds the leases of the others, which are alive, and of those who are dead. */
const LANES = 3;

/**
 * More events until the worker is dead: the others may have taken all the work before it came to its step. It fails if
 * the worker does not come to it.
 */
async function feeding(arena: Arena, exit: Promise<unknown>, step: string): Promise<never> {
  const start = performance.now();
  for (let alive = true; alive; ) {
    // A worker that waits for work gives no signal: after each pause there is more of it.
    const pause = new Promise<boolean>((resolve) => setTimeout(resolve, 300, true));
    alive = await Promise.race([exit.then(() => false), pause]);
    if (!alive) break;
    if (performance.now() - start > STALLED)
      throw new Error(`a worker does not come to ${step}: ${JSON.stringify(await arena.subscriptions())}`);
    await arena.feed(5);
  }
  return new Promise<never>(() => {});
}

test(`${KILLS} kills at each step in turn leave every counter equal to a fold of the log`, {
  timeout: scale(300_000, 3_000_000),
}, async () => {
  const arena = await Arena.open(fixture);
  const killed = new Map<string, number>();
  let started = 0;
  const lane = async () => {
    for (;;) {
      const n = started++;
      if (n >= KILLS) return;
      const step = STEPS[n % STEPS.length] ?? "claimed";
      const round = Math.floor(n / STEPS.length);
      await arena.deposit(15);
      const worker = arena.start({
        driver: round % 2 ? "postgres.js" : "node-postgres",
        leaseMillis: 150,
        patient: true,
        stop: { step, nth: 1 + (round % 4) },
      });
      const exit = await Promise.race([worker.exit(), feeding(arena, worker.exit(), step)]);
      expect([step, exit]).toEqual([step, "SIGKILL"]);
      killed.set(step, (killed.get(step) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  console.log(JSON.stringify(Object.fromEntries(killed)));
  await arena.conclude("SIGKILL at each step of a handler", `${LANES} workers, four shapes`, KILLS);
});
