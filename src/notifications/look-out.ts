/**
 * The look-out of a listener: it polls for work that no event announces. Act claims when it learns of an event, by its own
 * commit or by a notification. Other work would wait for the next event: the expired lease of a killed worker, a backlog
 * at a restart, deferred work that is due, subscriptions that an operator has reset or unblocked. And an announcement
 * may be lost, or the app may have given up to correlate what it was told of. The look-out finds such work in the tables,
 * and reports events that make the app correlate and claim.
 *
 * It polls every few seconds, when deferred work is due, when a process announces claimable work, and when the app can
 * correlate again after its lease was refused. Each poll has a random delay, so that of twenty processes one polls first,
 * and its app handles the work before the others poll.
 *
 * States: scheduled (a timer runs) → polling (the statement runs) → scheduled → …; stopped, from every state. An
 * announcement moves the next poll forward.
 */
import type { Context } from "../context.ts";
import { type Correlators, correlatorsOf } from "../correlators.ts";
import { claimableQuery, type Found, toFound, type Waiting } from "./claimable.ts";
import { LONGEST_PAUSE, Uncorrelated, type UncorrelatedOptions } from "./uncorrelated.ts";

/** The longest random delay of a poll after an announcement or a due time, in ms. */
const SPREAD = 500;

/**
 * When this store has last claimed, by lane. A claim finds the same subscriptions as the look-out, which then leaves out its
 * lanes.
 */
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

export type LookOutOptions = UncorrelatedOptions & {
  readonly claims: RecentClaims;
  readonly report: (events: Waiting["events"]) => void;
};

export class LookOut {
  readonly #context: Context;
  readonly #options: LookOutOptions;
  readonly #period: number;
  readonly #correlators: Correlators;
  readonly #uncorrelated: Uncorrelated;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer runs out, in ms of `performance.now()`. */
  #next = Number.POSITIVE_INFINITY;
  /** When work was announced, in ms of `performance.now()`, if the next poll is for that announcement. */
  #announced: number | undefined;
  #stopped = false;
  /** The name with which the next poll begins: a log may have more names than one poll searches for. */
  #firstName = "";
  /** The last report of each lane. It is repeated after `pause` ms, at `until`, if the work is still the same. */
  #reported = new Map<string, { state: string; pause: number; until: number }>();

  constructor(context: Context, options: LookOutOptions) {
    this.#context = context;
    this.#options = options;
    this.#period = context.pollIntervalMillis;
    this.#correlators = correlatorsOf(context);
    this.#uncorrelated = new Uncorrelated(this.#period, options);
  }

  start(): void {
    this.#scheduleNext(undefined);
    this.#correlators.onRetry = (after) => this.#scheduleBefore(after + Math.random() * SPREAD);
  }

  stop(): void {
    this.#stopped = true;
    this.#correlators.onRetry = () => {};
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
    // Events that one poll sees are reported by the next one at the earliest. That one comes within a period, not within 1.25.
    const spread = this.#uncorrelated.isDoubtful ? 0.25 : 0.5;
    const regular = this.#period > 0 ? this.#period * (0.75 + random() * spread) : Number.POSITIVE_INFINITY;
    const due = dueIn === undefined ? Number.POSITIVE_INFINITY : dueIn + random() * SPREAD;
    const { retryIn } = this.#correlators;
    const retry = retryIn === undefined ? Number.POSITIVE_INFINITY : retryIn + random() * SPREAD;
    // With a period of 0 it polls when something has happened, and, once it has polled, when deferred work is due.
    this.#schedule(Math.min(regular, due, retry));
  }

  #scheduleBefore(delay: number): void {
    if (performance.now() + delay < this.#next) this.#schedule(delay);
  }

  #schedule(delay: number): void {
    if (this.#stopped || delay >= 2_147_483_647) return;
    clearTimeout(this.#timer);
    this.#next = performance.now() + delay;
    this.#timer = setTimeout(() => void this.#look(), delay);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#next = Number.POSITIVE_INFINITY;
    const since = this.#announced ?? performance.now() - this.#period / 2;
    this.#announced = undefined;
    const { connections, names } = this.#context;
    const correlators = this.#correlators;
    const retry = correlators.takeRetry();
    const firstName = retry ? "" : this.#firstName;
    const { from, upTo } =
      firstName === ""
        ? this.#uncorrelated.beginSearch(retry, correlators.start)
        : this.#uncorrelated.current();
    // Undefined: the app has claimed in all lanes, so none is searched. The poll still finds events that are not correlated.
    const lanesToSkip = this.#options.claims.since(since);
    const wanted = { lanesToSkip, firstName, from, upTo, keys: correlators.keys };
    let found: Found | undefined;
    try {
      found = toFound(await connections.read("notify", claimableQuery(names, wanted)));
      this.#firstName = found.moreNames ?? "";
    } catch {
      // The database does not answer now. The next poll may succeed.
      if (retry) correlators.noteFailure();
    }
    if (this.#stopped) return;
    if (found) this.#report(found, firstName);
    // An announcement that came meanwhile has already scheduled a poll.
    if (this.#announced === undefined) this.#scheduleNext(found?.dueIn);
  }

  #report(found: Found, firstName: string): void {
    const now = performance.now();
    const before = this.#reported;
    this.#reported = new Map();
    const uncorrelated = this.#uncorrelated.toReport(found);
    if (uncorrelated.length > 0) this.#options.report(uncorrelated);
    for (const { lane, state: work, events } of found.waiting) {
      if (lane === undefined) continue;
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
      this.#options.report(events);
    }
  }
}
