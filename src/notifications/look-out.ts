/**
 * The look-out of a listener. Act claims when it hears of an event, by its own commit or by a notification. So work
 * that no event announces would wait for the next one: the lease of a killed worker that ran out, a backlog at a
 * restart, deferred work that is due, what an operator has reset or unblocked. The look-out finds it in the tables, and
 * reports events that make the app claim.
 *
 * It looks at three times: every few seconds; when deferred work is due; and when somebody announces claimable work.
 * Each time comes with a random delay. Of twenty processes one looks first, and its app claims what there is before
 * the others look.
 */
import type { Context } from "../context.ts";
import { claimableQuery, type Found, toFound, type Waiting } from "./claimable.ts";
import type { EventRef } from "./payload.ts";

/** ms, at most, by which a look is late after work was announced or was due. */
const SPREAD = 500;
/** ms, at most, after which work that the app leaves alone is reported again. */
const LONGEST_PAUSE = 30_000;

/** When this store has last claimed, by lane. An app that claims finds by itself what the look-out would find. */
export class RecentClaims {
  readonly #times = new Map<string | undefined, number>();

  note(lane: string | undefined): void {
    this.#times.set(lane, performance.now());
  }

  /** The lanes in which it has claimed since then; undefined if it has claimed in all. */
  since(time: number): string[] | undefined {
    for (const [lane, at] of this.#times) if (at < time) this.#times.delete(lane);
    if (this.#times.has(undefined)) return undefined;
    return [...this.#times.keys()].filter((lane) => lane !== undefined);
  }
}

export type LookOutOptions = {
  readonly claims: RecentClaims;
  /** The log's last id when the listener was last connected: of later events the app has been told. */
  readonly position: () => number;
  /** Whether the app has been told of an event. */
  readonly isReported: (event: EventRef & { readonly stream: string }) => boolean;
  readonly report: (events: Waiting["events"]) => void;
};

export class LookOut {
  readonly #context: Context;
  readonly #options: LookOutOptions;
  readonly #period: number;
  #timer: NodeJS.Timeout | undefined;
  /** The next look is for what was announced at this time. */
  #announced: number | undefined;
  #stopped = false;
  /** What was reported last, by lane. */
  #reported = new Map<string | undefined, { state: string; pause: number; until: number }>();

  constructor(context: Context, options: LookOutOptions) {
    this.#context = context;
    this.#options = options;
    this.#period = context.pollIntervalMillis;
  }

  start(): void {
    this.#scheduleNext(undefined);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Somebody says that there is something to claim. */
  announced(): void {
    if (this.#stopped || this.#announced !== undefined) return;
    this.#announced = performance.now();
    this.#schedule(Math.random() * SPREAD);
  }

  #scheduleNext(dueIn: number | undefined): void {
    const { random } = Math;
    const regular = this.#period > 0 ? this.#period * (0.75 + random() / 2) : Number.POSITIVE_INFINITY;
    const due = dueIn === undefined ? Number.POSITIVE_INFINITY : dueIn + random() * SPREAD;
    const delay = Math.min(regular, due);
    // Without a period only an announcement makes it look, and from then on what is due.
    if (delay < 2_147_483_647) this.#schedule(delay);
  }

  #schedule(delay: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), delay);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const since = this.#announced ?? performance.now() - this.#period / 2;
    this.#announced = undefined;
    const busy = this.#options.claims.since(since);
    let found: Found | undefined;
    if (busy) {
      const { connections, names } = this.#context;
      try {
        const query = claimableQuery(names, busy, this.#options.position());
        found = toFound(await connections.read("notify", query));
      } catch {
        // The database does not answer now. The next look may find it back.
      }
    }
    if (this.#stopped) return;
    if (found) this.#report(found.waiting);
    // An announcement that came meanwhile has a look of its own.
    if (this.#announced === undefined) this.#scheduleNext(found?.dueIn);
  }

  #report(waiting: readonly Waiting[]): void {
    const now = performance.now();
    const before = this.#reported;
    this.#reported = new Map();
    for (const { lane, state, events } of waiting) {
      const last = before.get(lane);
      const same = last?.state === state;
      if (same && now < last.until) {
        this.#reported.set(lane, last);
        continue;
      }
      // What the app leaves alone is not its own, or cannot be done now.
      const pause = same ? Math.min(last.pause * 2, LONGEST_PAUSE) : this.#period;
      this.#reported.set(lane, { state, pause, until: now + pause });
      const news = lane === undefined ? events.filter((event) => !this.#options.isReported(event)) : events;
      this.#options.report(news);
    }
  }
}
