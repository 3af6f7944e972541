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

/** The longest wait after a refused lease, in ms. The wait doubles while neither a lease was granted nor the checkpoint moved. */
const LONGEST_WAIT = 60_000;

/** Of a map whose last entry was set last. */
function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > MAX_CORRELATORS && oldest !== undefined) map.delete(oldest);
}

export class Correlators {
  /** Those that asked for a lease and did not release it, by key and holder. */
  readonly #known = new Map<string, string>();
  /** The last checkpoint that was told, by key. */
  readonly #told = new Map<string, number>();
  #start: number | undefined;
  /** How often a lease was refused since something moved. */
  #refused = 0;
  #retryAt: number | undefined;
  /** Called when a try was in vain, with the ms after which the next one may succeed. */
  onRetry: (after: number) => void = () => {};

  /**
   * Takes the checkpoint that a call returned for this key, '' for the shared one. No app of this store begins to read before
   * the first one that was told. A checkpoint that has become lower is that of a restored log.
   */
  noteStart(key: string, at: number): void {
    const last = this.#told.get(key);
    if (last !== undefined && at < last) this.#start = Math.min(this.#start ?? at, at);
    this.#start ??= at;
    if (last !== at) this.#refused = 0;
    this.#told.delete(key);
    this.#told.set(key, at);
    forgetOldest(this.#told);
  }

  /** Records the answer to a request for a lease. */
  noteRequest({ key, by, millis }: Correlator, granted: boolean): void {
    const id = JSON.stringify([key, by]);
    this.#known.delete(id);
    // Released: the app ends, and nobody waits for its checkpoint.
    if (!(millis > 0)) return;
    this.#known.set(id, key);
    forgetOldest(this.#known);
    if (granted) this.#refused = 0;
    // The holder has the same key, so it runs the same app and has asked for as long a lease. If it reads what is there again
    // and again, and no app has a reaction to it, twenty processes that try again every 5 s would never come to rest.
    else if (this.#tryAgain(Math.min(millis * 2 ** this.#refused, Math.max(millis, LONGEST_WAIT))))
      this.#refused++;
  }

  /** Records that a verb failed without which nothing is correlated. */
  noteFailure(): void {
    this.#tryAgain(AFTER_FAILURE);
  }

  /** False if an earlier reason to try again still stands. */
  #tryAgain(after: number): boolean {
    if (this.#retryAt !== undefined) return false;
    this.#retryAt = performance.now() + after;
    this.onRetry(after);
    return true;
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
