/** Decides how many of the queued commits form the next batch. */

const MAX_COMMITS = 512;
/** Events in one batch; its first commit alone may have more. An insert of 1,000 holds the append lock for some 20 ms. */
const MAX_EVENTS = 1_000;
/** Characters of JSON in one batch; its first commit alone may have more. */
const MAX_TEXT = 4_000_000;
/** The lowest limit. It is above LARGE_BYTES of exchange.ts: smaller batches are not timed, so the limit could not rise. */
const MIN_TEXT = 128_000;
/** A batch should reach the server within this time, so a slow network makes batches small. */
const TRANSFER_MS = 500;

/** A batch with inline projections should hold the append lock no longer than this. */
const PROJECTED_MS = 100;
const FIRST_PROJECTED = 64;

type Sized = { readonly characters: number; readonly events: readonly unknown[]; readonly alone: boolean };
type Kind = Sized & { readonly stream: string; readonly inline?: object | undefined };

export class BatchLimits {
  #characters = MAX_TEXT;
  #projected = FIRST_PROJECTED;

  /** How many commits from the start of the queue go into the next batch; at least one. */
  count(waiting: readonly Sized[]): number {
    let characters = 0;
    let events = 0;
    let count = 0;
    for (const commit of waiting) {
      const fits =
        count < MAX_COMMITS &&
        characters + commit.characters <= this.#characters &&
        events + commit.events.length <= MAX_EVENTS;
      if (count > 0 && (commit.alone || !fits)) break;
      characters += commit.characters;
      events += commit.events.length;
      count++;
      if (commit.alone) break;
    }
    return count;
  }

  /** Adapts the limit to a measured transfer: `bytes` took `ms` to reach the server. */
  transferred(bytes: number, ms: number): void {
    const inTime = (bytes / Math.max(ms, 0.1)) * TRANSFER_MS;
    this.#characters = Math.round(Math.min(MAX_TEXT, Math.max(MIN_TEXT, inTime)));
  }

  /** How many commits with inline projections are sent in one batch. */
  get projectedCount(): number {
    return this.#projected;
  }

  /** Adapts the limit to a measured batch: `commits` with inline projections took `ms`. */
  projected(commits: number, ms: number): void {
    const inTime = Math.floor((commits / Math.max(ms, 0.1)) * PROJECTED_MS);
    // At most twice the last limit, because a small batch tells little about a large one.
    this.#projected = Math.min(MAX_COMMITS, Math.max(1, Math.min(inTime, this.#projected * 2)));
  }
}

/**
 * The next batch. All of its commits have inline projections if the oldest has, otherwise none has. So the oldest
 * commit never waits for a younger one of the other kind. No commit overtakes an earlier one to its stream.
 */
export function takeOneKind<W extends Kind>(waiting: readonly W[], limits: BatchLimits): W[] {
  const inline = waiting[0]?.inline !== undefined;
  const most = inline ? limits.projectedCount : MAX_COMMITS;
  const passed = new Set<string>();
  const same: W[] = [];
  for (const commit of waiting) {
    if (same.length === most) break;
    if ((commit.inline !== undefined) === inline && !passed.has(commit.stream)) same.push(commit);
    else passed.add(commit.stream);
  }
  return same.slice(0, limits.count(same));
}
