/**
 * InMemoryStore as the contract has it. What of its deviations the model must bridge, and why; all those that a
 * conformance test shows are in `test/conformance/in-memory.test.ts`.
 *
 * | line | InMemoryStore 1.31.26 | here |
 * |---|---|---|
 * | M1 | `commit(s, [], meta, n)` checks the version and may throw | returns `[]` |
 * | M6 | stores NUL and lone surrogates | ValidationError, nothing written |
 * | D1 | returns the caller's own objects, and its own | copies in and out |
 * | D2 | stamps `created` with this process's clock | `stamp` takes over the time of the store under test |
 * | Q3 | an empty `stream` crashes the subscription filters and query_stats | is no filter |
 * | Q8 | an invalid pattern throws SyntaxError, or nothing when there is no row to try it on | ValidationError, whatever there is to try it on |
 * | L2 | resolves ties by age of the row | `grant` takes any choice that L2 allows (see `illegalClaim`) |
 * | L11 | `unblock({ blocked: false })` unblocks every blocked stream | matches nothing |
 * | R2 | `source_matches: []` means "without a source" | is no constraint |
 * | R7 | restore keeps checkpoints and correlator leases | wipes them |
 */
import {
  type Committed,
  ConcurrencyError,
  type EventMeta,
  InMemoryStore,
  type Lease,
  type Message,
  type Query,
  type QueryStatsOptions,
  type QueryStreams,
  type Schema,
  type Schemas,
  type StreamFilter,
  ValidationError,
} from "@rotorsoft/act";
import { type Candidate, illegalClaim } from "./claims.ts";

type Event = Committed<Schemas, keyof Schemas>;

/** A row of InMemoryStore's private map, as far as `grant` needs it. */
type Row = Candidate & {
  readonly source?: string;
  readonly lane: string;
  readonly is_available: boolean;
  readonly correlated_at?: number;
  lease(lease: Omit<Lease, "lane">, millis: number): Lease;
};

type Internals = {
  readonly _events: Array<{ id: number; created: Date }>;
  readonly _streams: Map<string, Row>;
  readonly _correlators: Map<string, unknown>;
  readonly _stream_versions: Map<string, number>;
  _correlated_at: number;
};

type Selector = Pick<StreamFilter, "stream" | "stream_exact">;

export class ReferenceStore extends InMemoryStore {
  override async commit<E extends Schemas>(
    stream: string,
    msgs: Message<E, keyof E>[],
    meta: EventMeta,
    expectedVersion?: number,
  ): Promise<Committed<E, keyof E>[]> {
    if (msgs.length === 0) return [];
    if (isPoisoned([stream, msgs, meta])) throw new ValidationError("event", msgs, stream);
    const [events, shared] = copy([msgs, meta]);
    try {
      return copy(await super.commit(stream, events, shared, expectedVersion));
    } catch (error) {
      if (!(error instanceof ConcurrencyError)) throw error;
      throw new ConcurrencyError(stream, error.lastVersion, copy(error.events), error.expectedVersion);
    }
  }

  override query<E extends Schemas>(
    callback: (event: Committed<E, keyof E>) => void,
    query?: Query,
  ): Promise<number> {
    return validated(() => {
      compile(query);
      return super.query<E>((event) => callback(copy(event)), query);
    });
  }

  override defer(input: string[] | StreamFilter, deferred_at: number): Promise<number> {
    return validated(() => super.defer(withoutEmpty(input), deferred_at));
  }

  override reset(input: string[] | StreamFilter): Promise<number> {
    return validated(() => super.reset(withoutEmpty(input)));
  }

  override unblock(input: string[] | StreamFilter): Promise<number> {
    const nothing = !Array.isArray(input) && input.blocked === false;
    if (nothing) return validated(() => super.unblock([]));
    return validated(() => super.unblock(withoutEmpty(input)));
  }

  override prioritize(filter: StreamFilter, priority: number): Promise<number> {
    return validated(() => super.prioritize(withoutEmpty(filter), priority));
  }

  override query_streams(callback: Parameters<InMemoryStore["query_streams"]>[0], query: QueryStreams = {}) {
    const source_matches = query.source_matches?.length === 0 ? undefined : query.source_matches;
    return validated(() => super.query_streams(callback, { ...withoutEmpty(query), source_matches }));
  }

  override query_stats<E extends Schemas>(input: string[] | Selector, options?: QueryStatsOptions<E>) {
    return validated(async () => {
      if (!Array.isArray(input)) compile(input);
      return copy(await super.query_stats<E>(withoutEmpty(input), options));
    });
  }

  override async truncate(targets: Parameters<InMemoryStore["truncate"]>[0]) {
    return copy(await super.truncate(copy(targets)));
  }

  override async restore(driver: (callback: (event: Event) => Promise<number>) => Promise<void>) {
    await super.restore((insert) => driver((event) => insert(copy(event))));
    const internals = this.#internals;
    internals._correlators.clear();
    internals._correlated_at = -1;
  }

  /** The version of the stream's last event, −1 for a fresh one. */
  head(stream: string): number {
    return this.#internals._stream_versions.get(stream) ?? -1;
  }

  /** Gives an event the time at which the store under test committed its twin. */
  stamp(id: number, created: Date): void {
    const event = this.#internals._events.find((e) => e.id === id);
    if (event) event.created = created;
  }

  /** Leases what the store under test has granted, once that is seen to be one of the choices of L2. */
  grant(
    granted: readonly Lease[],
    { lagging, leading, by, millis, lane }: ClaimArguments,
  ): { readonly illegal?: string; readonly leases: Lease[] } {
    const rows = this.#internals._streams;
    const available = [...rows.values()].filter(
      (row) =>
        row.is_available &&
        row.correlated_at !== undefined &&
        row.at < row.correlated_at &&
        (lane === undefined || row.lane === lane),
    );
    const illegal = illegalClaim(available, { lagging, leading }, granted);
    if (illegal) return { illegal, leases: [] };
    const leases = granted.flatMap(({ stream, lagging: lags }) => {
      const row = rows.get(stream);
      return row ? [row.lease({ stream, at: row.at, by, retry: 0, lagging: lags }, millis)] : [];
    });
    return { leases };
  }

  /** TypeScript's `private` hides them; nothing public can stamp, wipe a checkpoint or settle a tie. */
  get #internals(): Internals {
    return this as unknown as Internals;
  }
}

export type ClaimArguments = {
  readonly lagging: number;
  readonly leading: number;
  readonly by: string;
  readonly millis: number;
  readonly lane?: string;
};

/** A deep copy that keeps Dates and own `__proto__` keys; structuredClone drops neither, but needs plain input. */
export function copy<T>(value: T): T {
  return structuredClone(value);
}

function withoutEmpty<T extends string[] | Schema>(input: T): T {
  if (Array.isArray(input) || input.stream !== "") return input;
  const { stream: _, ...rest } = input;
  return rest as T;
}

/** The reference compiles a pattern when it meets the first row. */
function compile(selector: Selector = {}): void {
  if (selector.stream !== undefined && !selector.stream_exact) new RegExp(selector.stream);
}

async function validated<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof SyntaxError) throw new ValidationError("query", undefined, error.message);
    throw error;
  }
}

function isPoisoned(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0") || /\p{Surrogate}/u.test(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return false;
  return Object.entries(value).some(([key, item]) => isPoisoned(key) || isPoisoned(item));
}
