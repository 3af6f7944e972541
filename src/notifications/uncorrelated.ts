/**
 * Decides which events the look-out reports because a correlator of this store has not read them.
 *
 * An event is news while the process that committed it may still announce it. So a poll leaves out what the poll before
 * has not seen. As a rule the app itself correlates the events that it knows of, by its own commit or by a payload. But Act's
 * `settle()` gives up silently if the lease is refused or a statement fails, and of two apps on one store one is not told of
 * the other's commits. So known events are reported too, if the checkpoint has not moved since the poll before, or a try was
 * in vain.
 *
 * What the app leaves alone, because it has no reaction to it, is reported again after longer and longer pauses. What
 * comes after it in the log is reported at once.
 */
import type { Found, Waiting } from "./claimable.ts";
import type { EventRef } from "./payload.ts";

/** The longest pause before work that the app does not handle is reported again, in ms. */
export const LONGEST_PAUSE = 30_000;

export type UncorrelatedOptions = {
  /** The log's last id when the listener last connected. It was told of later events, unless their announcement was lost. */
  readonly position: () => number;
  /** Whether the app knows the event by its own commit or by a payload. */
  readonly isKnown: (event: EventRef & { readonly stream: string }) => boolean;
};

/** A search for events after `from`, up to `upTo`. It takes several polls if the log has very many names of events. */
type Search = {
  readonly from: number;
  readonly upTo: number;
  /** A try of the app was in vain: all events are reported, known and new ones too. */
  readonly retry: boolean;
  /** Events are searched that were reported before. */
  readonly repeats: boolean;
  /** Known events were left out, which the next poll reports if the checkpoint does not move. */
  withheld: boolean;
};

export class Uncorrelated {
  readonly #period: number;
  readonly #options: UncorrelatedOptions;
  /** The log's last id, and the app's checkpoint, at the last poll. */
  #newest = -1;
  #checkpoint: number | undefined;
  #search: Search | undefined;
  /** The last report: events up to `told`, while the checkpoint was `at`. It is repeated after `pause` ms, at `until`. */
  #last: { at: number; told: number; pause: number; until: number } | undefined;

  constructor(period: number, options: UncorrelatedOptions) {
    this.#period = period;
    this.#options = options;
  }

  /** Begins a search. `start`: the app does not read events up to this id. */
  beginSearch(retry: boolean, start: number): Search {
    const last = this.#last;
    const end = Math.max(this.#newest, this.#options.position());
    const repeats = retry || last === undefined || performance.now() >= last.until;
    const from = repeats ? start : Math.max(start, last.told);
    this.#search = {
      from,
      upTo: retry ? Number.MAX_SAFE_INTEGER : end,
      retry,
      repeats,
      withheld: false,
    };
    return this.#search;
  }

  /** The search that is going on, or a new one. */
  current(): Search {
    return this.#search ?? this.beginSearch(false, -1);
  }

  /** Whether the last poll has seen events of which the next one decides whether they are reported. */
  get isDoubtful(): boolean {
    return this.#newest > Math.max(this.#checkpoint ?? -1, this.#last?.told ?? -1);
  }

  /** The events to report of those that a poll has found. */
  toReport({ waiting, newest, checkpoint, moreNames }: Found): Waiting["events"] {
    const search = this.current();
    const unmoved = checkpoint === this.#checkpoint;
    this.#newest = newest;
    this.#checkpoint = checkpoint;
    // The ids of a restored log start again.
    if (this.#last && (this.#last.at !== checkpoint || this.#last.told > newest)) this.#last = undefined;
    const last = this.#last;
    const found = waiting.find(({ lane }) => lane === undefined);
    if (!found) return [];
    // An app that was told of its own event again and again, and could correlate it, has no reaction to it.
    const enough = !search.retry && search.repeats && last !== undefined && last.pause >= LONGEST_PAUSE;
    const done = enough ? last.told : -1;
    const withKnown = search.retry || unmoved;
    const events = found.events.filter(
      (event) => (withKnown && event.id > done) || !this.#options.isKnown(event),
    );
    if (!unmoved && events.length < found.events.length) search.withheld = true;
    if (moreNames === undefined) this.#last = this.#reported(search, newest, checkpoint);
    return events;
  }

  #reported({ repeats, withheld, upTo }: Search, newest: number, at: number) {
    const last = this.#last;
    const now = performance.now();
    const pause = !last ? this.#period : repeats ? Math.min(last.pause * 2, LONGEST_PAUSE) : last.pause;
    const until = withheld ? now : last && !repeats ? last.until : now + pause;
    return { at, told: Math.min(upTo, newest), pause, until };
  }
}
