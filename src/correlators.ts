/**
 * What a store knows of the correlators that use it, from their calls of subscribe(). Act's `settle()` gives up without a
 * word if the correlator lease is refused, or if a verb fails, and does not try again until the next event. So the look-out
 * asks here whether a try was in vain, and where the checkpoints of this store's own apps are.
 */
import type { Context } from "./context.ts";

/** A request for the correlator lease of `key` for some ms. 0 or less releases it. */
export type Correlator = { key: string; by: string; millis: number };

/** How long after a verb has failed the app should try again, in ms: what made it fail may last. */
const AFTER_FAILURE = 4_000;
/** The most correlators that are remembered: the last ones. A process may build an app for each request. */
const MAX_CORRELATORS = 100;

export class Correlators {
  /** Those that asked for a lease and did not release it, by key and holder. */
  readonly #known = new Map<string, string>();
  #start: number | undefined;
  #retryAt: number | undefined;
  /** Called when a try was in vain, with the ms after which the next one may succeed. */
  onRetry: (after: number) => void = () => {};

  /** Takes the checkpoint that a call returned. No app of this store begins to read before the first one, unless the log is restored. */
  noteStart(at: number): void {
    this.#start ??= at;
  }

  /** Records the answer to a request for a lease. */
  noteRequest({ key, by, millis }: Correlator, granted: boolean): void {
    const id = JSON.stringify([key, by]);
    this.#known.delete(id);
    // Released: the app ends, and nobody waits for its checkpoint.
    if (!(millis > 0)) return;
    this.#known.set(id, key);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_CORRELATORS && oldest !== undefined) this.#known.delete(oldest);
    // The holder has the same key, so it runs the same app and has asked for as long a lease.
    if (!granted) this.#tryAgain(millis);
  }

  /** Records that a verb failed without which nothing is correlated. */
  noteFailure(): void {
    this.#tryAgain(AFTER_FAILURE);
  }

  #tryAgain(after: number): void {
    if (this.#retryAt !== undefined) return;
    this.#retryAt = performance.now() + after;
    this.onRetry(after);
  }

  /** Whether a try was in vain, and the next one may succeed. Says so once. */
  takeRetry(): boolean {
    if (this.#retryAt === undefined || this.#retryAt > performance.now()) return false;
    this.#retryAt = undefined;
    return true;
  }

  /** ms until the next try may succeed; undefined if none was in vain. */
  get retryIn(): number | undefined {
    return this.#retryAt === undefined ? undefined : this.#retryAt - performance.now();
  }

  /** The keys whose checkpoints count: '', the maximum of all, while no correlator of this store is known. */
  get keys(): readonly string[] {
    return this.#known.size > 0 ? [...new Set(this.#known.values())] : [""];
  }

  /** No app of this store reads events up to this id, because each began to read after it. */
  get start(): number {
    return this.#start ?? -1;
  }
}

const ofStores = new WeakMap<Context, Correlators>();

export function correlatorsOf(context: Context): Correlators {
  const found = ofStores.get(context) ?? new Correlators();
  ofStores.set(context, found);
  return found;
}
