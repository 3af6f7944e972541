/** How many of the waiting commits go out together. */

const MAX_COMMITS = 512;
/** Events in one batch, beyond the first commit: an insert of 1,000 holds the append lock for some 20 ms. */
const MAX_EVENTS = 1_000;
/** Characters of JSON in one batch, beyond the first commit. */
const MAX_TEXT = 4_000_000;
/** Above what is measured: below it the rate would never be measured again. */
const MIN_TEXT = 128_000;
/** A batch should be on the server within this time, so that a slow network makes small batches. */
const TRANSFER_MS = 500;

type Sized = { readonly text: number; readonly events: readonly unknown[]; readonly alone: boolean };

export class BatchLimits {
  #text = MAX_TEXT;

  /** Of the first of them; at least one. */
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

  /** So many bytes took so long to the server. */
  transferred(bytes: number, ms: number): void {
    const inTime = (bytes / Math.max(ms, 0.1)) * TRANSFER_MS;
    this.#text = Math.round(Math.min(MAX_TEXT, Math.max(MIN_TEXT, inTime)));
  }
}
