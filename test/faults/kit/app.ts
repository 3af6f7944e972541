/** An act() app that reacts to what the ledger commits, as a worker process would: woken by NOTIFY, and polling. */
import { act, InMemoryCache, type Store, type StoreNotification, state } from "@rotorsoft/act";
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
 * A look, as often as one likes. The framework (1.31.26) has none that is sure to drain: start_correlations() marks
 * what it finds and leaves it to the next event to wake the drain, and settle() looks only when something has woken
 * it. So the app is told of an event, as by a notification.
 */
function watched(store: Store): { readonly store: Store; look(): void } {
  let tell: ((notification: StoreNotification) => void) | undefined;
  const proxy = new Proxy(store, {
    get(target, property) {
      const { notify } = target;
      if (property !== "notify" || !notify) return Reflect.get(target, property);
      const listen: typeof notify = (handler) => {
        tell = handler;
        return notify(handler);
      };
      return listen;
    },
  });
  return { store: proxy, look: () => tell?.({ stream: "", events: [{ id: 0, name: "Noted" }] }) };
}

/**
 * Reacts to each event of a stream on `<stream>-seen`. `poll`: ms between two looks for what no notification
 * told of; `leaseMillis`: how long a stream stays with a worker that is gone.
 */
export function react(
  store: Store,
  onNoted: (noted: Noted) => Promise<void> | void,
  { poll, leaseMillis = 10_000 }: { readonly poll: number; readonly leaseMillis?: number },
): Reactor {
  const { store: own, look } = watched(store);
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
      scoped: { store: own, cache: new InMemoryCache() },
      settleDebounceMs: 0,
      // The load's own subscriptions are never caught up: this app would not come to an end with them.
      onlyLanes: ["notes"],
      // Back at work within one poll after the server was away.
      circuitBreaker: { failureThreshold: 5, cooldownMs: poll },
    });
  app.settle();
  const looking = setInterval(look, poll);
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
