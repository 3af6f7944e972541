/** Decides how many of the queued commits form the next batch. */

const MAX_COMMITS = 512;
/** Events in one batch, beyond the first commit: an insert of 1,000 holds the append lock for some 20 ms. */
const MAX_EVENTS = 1_000;
/** Characters of JSON in one batch, beyond the first commit. */
const MAX_TEXT = 4_000_000;
/** The lowest limit. It is above LARGE_BYTES of exchange.ts: smaller batches are not timed, so the limit could not rise. */
const MIN_TEXT = 128_000;
/** A batch should be on the server within this time, so that a slow network makes small batches. */
const TRANSFER_MS = 500;

type Sized = { readonly text: number; readonly events: readonly unknown[]; readonly alone: boolean };

export class BatchLimits {
  #text = MAX_TEXT;

  /** How many commits from the start of the queue go into the next batch; at least one. */
  count(waiting: readonly Sized[]): number {
    let text = 0;
    let events = 0;
    let count = 0;
    for (const commit of waiting) {
      const fits =
        count < MAX_COMMITS &&
        text + commit.text <= this.#text &&
        events + commit.events.length <= MAX_EVENTS;
      if (count > 0 && (commit.alone || !fits)) break;
      text += commit.text;
      events += commit.events.length;
      count++;
      if (commit.alone) break;
    }
    return count;
  }

  /** Adapts the limit to a measured transfer: `bytes` took `ms` to reach the server. */
  transferred(bytes: number, ms: number): void {
    const inTime = (bytes / Math.max(ms, 0.1)) * TRANSFER_MS;
    this.#text = Math.round(Math.min(MAX_TEXT, Math.max(MIN_TEXT, inTime)));
  }
}
