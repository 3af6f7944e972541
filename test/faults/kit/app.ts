/** An act() app that reacts to what the ledger commits, as a worker process would: woken by NOTIFY, and polling. */
import { act, InMemoryCache, type Store, state } from "@rotorsoft/act";
import { z } from "zod";
import type { Ledger } from "./ledger.ts";

const Note = state({ Note: z.object({}) })
  .init(() => ({}))
  .emits({ Noted: z.object({ token: z.string(), part: z.number() }) })
  .patch({ Noted: () => ({}) })
  .build();

export type Noted = { readonly stream: string; readonly token: string; readonly part: number };
export type Reactor = {
  /** Stops polling, and lets what is under way finish. */
  shutdown(graceMs?: number): Promise<void>;
};

/**
 * Reacts to each event of a stream on `<stream>-seen`. `poll`: ms between two looks for what no notification
 * told of; `leaseMillis`: how long a stream stays with a worker that is gone.
 */
export function react(
  store: Store,
  onNoted: (noted: Noted) => Promise<void> | void,
  { poll, leaseMillis = 10_000 }: { readonly poll: number; readonly leaseMillis?: number },
): Reactor {
  const app = act()
    .withState(Note)
    // Of the lane, because what a notification wakes takes no options of ours.
    .withLane({ name: "notes", leaseMillis })
    .on("Noted")
    .do(
      async function see({ stream, data: { token, part } }) {
        await onNoted({ stream, token, part });
      },
      { maxRetries: 3, blockOnError: false },
    )
    .to(({ stream }) => ({ target: `${stream}-seen`, source: stream, lane: "notes" }))
    .build({
      scoped: { store, cache: new InMemoryCache() },
      settleDebounceMs: 0,
      // Back at work within one poll after the server was away.
      circuitBreaker: { failureThreshold: 5, cooldownMs: poll },
    });
  app.settle();
  app.start_correlations({ limit: 100 }, poll);
  const looking = setInterval(() => app.settle(), poll);
  return {
    shutdown: async (graceMs) => {
      clearInterval(looking);
      await app.shutdown({ graceMs });
    },
  };
}

/** When each event was first seen, in ms of `performance.now()`. */
export class Seen {
  readonly #at = new Map<string, number>();
  /** Events seen again. */
  again = 0;

  note = ({ token, part }: Noted): void => {
    const key = `${token}/${part}`;
    if (this.#at.has(key)) this.again++;
    else this.#at.set(key, performance.now());
  };

  /** Events of acknowledged commits that were not seen yet. */
  missing({ acknowledged }: Ledger): string[] {
    return [...acknowledged].flatMap(([token, { size }]) =>
      Array.from({ length: size }, (_, part) => `${token}/${part}`).filter((key) => !this.#at.has(key)),
    );
  }

  /** The longest time from an acknowledgement to the reaction, in ms. */
  lateness({ acknowledged }: Ledger): number {
    let longest = 0;
    for (const [token, { size, at }] of acknowledged)
      for (let part = 0; part < size; part++)
        longest = Math.max(longest, (this.#at.get(`${token}/${part}`) ?? Number.POSITIVE_INFINITY) - at);
    return longest;
  }
}
