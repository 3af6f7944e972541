/**
 * A part of the log that grows at both ends as it is scrolled: pages by key, so that a log of any size is read in
 * steps of one size. Rows are newest first and without holes; rows far from the view are dropped again.
 */
import type { EventView, LogPage } from "../../api.ts";

export type Cursor = { readonly before?: number; readonly after?: number };

export type FeedState = {
  readonly rows: readonly EventView[];
  /** Cursor of the older events; undefined if nothing older matches. */
  readonly older: number | undefined;
  /** Cursor of the newer events; undefined for an empty log. */
  readonly newer: number | undefined;
  /** The first row is the newest that the log had when it was last asked. */
  readonly atTop: boolean;
  readonly firstId: number | undefined;
  readonly lastId: number | undefined;
  readonly loading: "start" | "older" | "newer" | undefined;
  readonly error: Error | undefined;
  /** Pages in a row that held no event, because the filter is rare. */
  readonly empty: number;
  /** Rows added at the top minus rows removed there since the start, to keep the view in place. */
  readonly shift: number;
  /** Raised by each start, after which the scroll position begins anew. */
  readonly start: number;
};

/** Rows that are kept at most. */
export const MAX_ROWS = 2_000;

const NOTHING: FeedState = {
  rows: [],
  older: undefined,
  newer: undefined,
  atTop: true,
  firstId: undefined,
  lastId: undefined,
  loading: "start",
  error: undefined,
  empty: 0,
  shift: 0,
  start: 0,
};

export class LogFeed {
  readonly #load: (cursor: Cursor, signal: AbortSignal) => Promise<LogPage>;
  readonly #listeners = new Set<() => void>();
  readonly #maxRows: number;
  #state = NOTHING;
  #abort = new AbortController();

  constructor(load: (cursor: Cursor, signal: AbortSignal) => Promise<LogPage>, maxRows = MAX_ROWS) {
    this.#load = load;
    this.#maxRows = maxRows;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly state = (): FeedState => this.#state;

  #set(changes: Partial<FeedState>): void {
    this.#state = { ...this.#state, ...changes };
    for (const listener of this.#listeners) listener();
  }

  stop(): void {
    this.#abort.abort();
  }

  /** Starts anew with the events before this id, or with the newest. */
  async seek(before?: number): Promise<void> {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#set({ loading: "start", error: undefined, empty: 0 });
    await this.#run(before === undefined ? {} : { before }, (page) => ({
      rows: page.events,
      older: page.older,
      newer: page.newer,
      atTop: before === undefined,
      empty: page.events.length === 0 ? this.#state.empty + 1 : 0,
      shift: 0,
      start: this.#state.start + 1,
    }));
  }

  async loadOlder(): Promise<void> {
    const { older, loading } = this.#state;
    if (older === undefined || loading) return;
    this.#set({ loading: "older", error: undefined });
    await this.#run({ before: older }, (page) => {
      const rows = [...this.#state.rows, ...page.events];
      const dropped = Math.max(0, rows.length - this.#maxRows);
      return {
        rows: dropped > 0 ? rows.slice(dropped) : rows,
        older: page.older,
        empty: page.events.length === 0 ? this.#state.empty + 1 : 0,
        shift: this.#state.shift - dropped,
        ...(dropped > 0 && { newer: rows[dropped]?.id, atTop: false }),
      };
    });
  }

  async loadNewer(): Promise<void> {
    const { newer, loading } = this.#state;
    if (newer === undefined || loading) return;
    this.#set({ loading: "newer", error: undefined });
    await this.#run({ after: newer }, (page) => ({
      ...this.#inFront(page.events),
      newer: page.newer ?? newer,
      // A rare filter's pages may be empty and not the last: the end is where the log ends.
      atTop: page.events.length === 0 && (page.newer ?? newer) >= (page.lastId ?? 0),
    }));
  }

  /** Clears the error. The list then loads again, at the end where it needs rows. */
  retry(): void {
    if (this.#state.error) this.#set({ error: undefined });
  }

  /** There are newer events up to this id, which are not in the list. */
  hold(lastId: number): void {
    this.#set({
      atTop: false,
      newer: this.#state.newer ?? -1,
      lastId: Math.max(lastId, this.#state.lastId ?? 0),
    });
  }

  /** Adds events of the live tail at the top, newest first. */
  push(events: readonly EventView[], position: number): void {
    if (!this.#state.atTop) return;
    const known = this.#state.rows[0]?.id ?? -1;
    this.#set({
      ...this.#inFront(events.filter(({ id }) => id > known)),
      newer: position,
      lastId: Math.max(position, this.#state.lastId ?? 0),
    });
  }

  /** The live tail skipped events: the list begins after them, and they are read when the list is scrolled to them. */
  leaveOut(upTo: number): void {
    if (this.#state.atTop) this.#set({ rows: [], older: upTo + 1, newer: upTo, shift: 0 });
  }

  #inFront(events: readonly EventView[]): Partial<FeedState> {
    const { rows, shift, older } = this.#state;
    const all = [...events, ...rows];
    const kept = all.length > this.#maxRows ? all.slice(0, this.#maxRows) : all;
    return {
      rows: kept,
      shift: shift + events.length,
      older: kept.length < all.length ? kept.at(-1)?.id : older,
    };
  }

  async #run(cursor: Cursor, change: (page: LogPage) => Partial<FeedState>): Promise<void> {
    const { signal } = this.#abort;
    try {
      const page = await this.#load(cursor, signal);
      if (signal.aborted) return;
      this.#set({ ...change(page), firstId: page.firstId, lastId: page.lastId, loading: undefined });
    } catch (error) {
      if (signal.aborted) return;
      this.#set({ loading: undefined, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
}
