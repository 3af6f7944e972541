/** Waiting for signals: polls with a deadline, gates, deadlines. Nothing here sleeps and hopes. */
import { setTimeout as delay } from "node:timers/promises";

type Pace = { readonly within?: number; readonly every?: number };

/** The first truthy value of the probe. A probe that throws is asked again until the deadline. */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  { within = 8_000, every = 10 }: Pace = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + within;
  let last: unknown = "never truthy";
  for (;;) {
    try {
      const value: T = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`Not within ${within} ms`, { cause: last });
    // An adapter under test gives no signal: it is asked again.
    await delay(every);
  }
}

/** Fails as soon as the probe is falsy: for what must not happen while one watches. */
export async function throughout(millis: number, probe: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + millis;
  while (Date.now() < end) {
    if (!(await probe())) throw new Error(`Did not hold for ${millis} ms`);
    // What must not happen gives no signal.
    await delay(20);
  }
}

/** The outcome of a promise, or an error that names what was awaited in vain. */
export async function within<T>(millis: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const timeout = delay(millis, undefined, { signal: timer.signal }).then(
    () => Promise.reject(new Error(`${what}: no answer within ${millis} ms`)),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    timer.abort();
  }
}

export type Gate = { readonly passed: Promise<void>; open(): void };

/** A promise that the test resolves. */
export function gate(): Gate {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
