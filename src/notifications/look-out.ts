/**
 * The look-out of a listener: it polls for work that no event announces. Act claims when it learns of an event, by its own
 * commit or by a notification. Other work would wait for the next event: the expired lease of a killed worker, a backlog
 * at a restart, deferred work that is due, subscriptions that an operator has reset or unblocked. And an announcement
 * may be lost. The look-out finds such work in the tables, and reports events that make the app claim.
 *
 * It polls every few seconds, when deferred work is due, and when a process announces claimable work. Each poll has a
 * random delay, so that of twenty processes one polls first, and its app claims the work before the others poll.
 *
 * States: scheduled (a timer runs) → polling (the statement runs) → scheduled → …; stopped, from every state. An
 * announcement moves the next poll forward.
 */
import type { Context } from "../context.ts";
import { claimableQuery, type Found, toFound, type Waiting } from "./claimable.ts";
import type { EventRef } from "./payload.ts";

/** The longest random delay of a poll after an announcement or a due time, in ms. */
const SPREAD = 500;
/** The longest pause before work that the app does not claim is reported again, in ms. */
const LONGEST_PAUSE = 30_000;

/** When this store has last claimed, by lane. A claim finds the same work as the look-out, which then need not poll. */
export class RecentClaims {
  readonly #times = new Map<string | undefined, number>();

  note(lane: string | undefined): void {
    this.#times.set(lane, performance.now());
  }

  /** The lanes in which this store has claimed since `time`; undefined if it has claimed in all lanes. */
  since(time: number): string[] | undefined {
    for (const [lane, at] of this.#times) if (at < time) this.#times.delete(lane);
    if (this.#times.has(undefined)) return undefined;
    return [...this.#times.keys()].filter((lane) => lane !== undefined);
  }
}

export type LookOutOptions = {
  readonly claims: RecentClaims;
  /** The log's last id when the listener last connected. It was told of later events, unless their announcement was lost. */
  readonly position: () => number;
  /** Whether the app knows the event by its own commit or by a payload. */
  readonly isKnown: (event: EventRef & { readonly stream: string }) => boolean;
  readonly report: (events: Waiting["events"]) => void;
};

export class LookOut {
  readonly #context: Context;
  readonly #options: LookOutOptions;
  readonly #period: number;
  #timer: NodeJS.Timeout | undefined;
  /** When work was announced, in ms of `performance.now()`, if the next poll is for that announcement. */
  #announced: number | undefined;
  #stopped = false;
  /**
   * The log's last id at the last poll. An event that is still not correlated at the next poll counts as not announced: its
   * process has no notifications, or its announcement was lost.
   */
  #newest = -1;
  /** The name with which the next poll begins: a log may have more names than one poll searches for. */
  #firstName = "";
  /** The last report of each lane. It is repeated after `pause` ms, at `until`, if the work is still the same. */
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

  /** A process has announced claimable work. */
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
    // With a period of 0 it polls after announcements only, and, once it has polled, when deferred work is due.
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
    // Undefined: the app has claimed in all lanes, so no poll is needed.
    const lanesToSkip = this.#options.claims.since(since);
    const firstName = this.#firstName;
    let found: Found | undefined;
    if (lanesToSkip) {
      const { connections, names } = this.#context;
      try {
        const upTo = Math.max(this.#newest, this.#options.position());
        found = toFound(
          await connections.read("notify", claimableQuery(names, lanesToSkip, upTo, firstName)),
        );
        this.#newest = found.newest;
        this.#firstName = found.moreNames ?? "";
      } catch {
        // The database does not answer now. The next poll may succeed.
      }
    }
    if (this.#stopped) return;
    if (found) this.#report(found.waiting, firstName);
    // An announcement that came meanwhile has already scheduled a poll.
    if (this.#announced === undefined) this.#scheduleNext(found?.dueIn);
  }

  #report(waiting: readonly Waiting[], firstName: string): void {
    const now = performance.now();
    const before = this.#reported;
    this.#reported = new Map();
    for (const { lane, state: work, events } of waiting) {
      // Events of other names are news, although the work is the same.
      const state = `${work} ${firstName}`;
      const last = before.get(lane);
      const same = last?.state === state;
      if (same && now < last.until) {
        this.#reported.set(lane, last);
        continue;
      }
      // If the work is the same, the app did not claim it: it belongs to another app, or cannot be handled now.
      const pause = same ? Math.min(last.pause * 2, LONGEST_PAUSE) : this.#period;
      this.#reported.set(lane, { state, pause, until: now + pause });
      const news = lane === undefined ? events.filter((event) => !this.#options.isKnown(event)) : events;
      this.#options.report(news);
    }
  }
}
