/** Two stores side by side: the state that a sequence of steps refers to, and what must be equal after each. */
import type { Committed, Lease, Schemas, Store } from "@rotorsoft/act";
import { assertSame } from "./canon.ts";
import { Ids } from "./ids.ts";
import { describeError, type Outcome, withoutNull } from "./outcome.ts";
import type { ReferenceStore } from "./reference.ts";
import type { IdRef, LeaseSpec, TimeRef } from "./steps.ts";

/** A store that offers the two optional verbs too. */
export type Subject = Store & Required<Pick<Store, "restore" | "forget_pii">>;
export type Event = Committed<Schemas, keyof Schemas>;

/** Leases and schedules either lie an hour ahead or are over at once, so no step depends on the clock. */
export const HOUR = 3_600_000;

export class Session {
  readonly ids = new Ids();
  readonly leases: Lease[] = [];
  readonly subject: Subject;
  readonly reference: ReferenceStore;
  /** The id that restore begins with: 0 in memory, 1 in PostgreSQL. */
  readonly firstId: number;
  /** `created` of the k-th event of `ids`. */
  #created: number[] = [];
  #lastCommit = Number.NEGATIVE_INFINITY;

  constructor(subject: Subject, reference: ReferenceStore, firstId: number) {
    this.subject = subject;
    this.reference = reference;
    this.firstId = firstId;
  }

  /** Notes an event that both stores have just written, and gives the reference the subject's time. */
  written(subject: Event, reference: Event): void {
    const { created } = subject;
    if (!(created instanceof Date)) throw new Error(`M1: created is no Date: ${created}`);
    if (+created < this.#lastCommit) throw new Error(`D2: created ran backward to ${created.toISOString()}`);
    if (Math.abs(+created - Date.now()) > 60_000) throw new Error(`D2: created is ${created.toISOString()}`);
    this.#lastCommit = +created;
    this.ids.add(subject.id, reference.id);
    this.#created.push(+created);
    this.reference.stamp(reference.id, created);
  }

  /** Both stores hold a new log. */
  restored(
    log: readonly { readonly id: number; readonly created: Date }[],
    subjectIds: readonly number[],
  ): void {
    this.ids.clear();
    this.#created = [];
    log.forEach(({ id, created }, k) => {
      this.ids.add(subjectIds[k] ?? Number.NaN, id);
      this.#created.push(+created);
    });
  }

  /** The subject's id that a step means. */
  id(ref: IdRef): number {
    if ("literal" in ref) return ref.literal;
    return (this.ids.subjectAt(ref.event) ?? 0) + ref.delta;
  }

  time(ref: TimeRef): Date {
    if ("literal" in ref) return new Date(ref.literal);
    return new Date((this.#created[ref.event % Math.max(1, this.#created.length)] ?? 0) + ref.delta);
  }

  lease({ pick, stream, by, at, due }: LeaseSpec): Lease {
    const held = this.leases[pick % Math.max(1, this.leases.length)] ?? {
      stream,
      by: "w1",
      retry: 0,
      lagging: true,
    };
    return { ...held, by: by ?? held.by, at, ...(due === undefined ? {} : { due }) };
  }

  /** An event of the subject in terms of the reference. */
  event = (event: Event): Event => ({ ...withoutNull(event), id: this.ids.toReference(event.id) });

  /** Values must be equal, and so must errors: class and fields. */
  compare(what: string, subject: Outcome<unknown>, reference: Outcome<unknown>): void {
    const plain = (o: Outcome<unknown>) => ("error" in o ? { error: describeError(o.error) } : o);
    assertSame(what, plain(subject), plain(reference));
  }

  /** The whole log, all positions, all statistics and the shared checkpoint. */
  async check(): Promise<void> {
    const [subject, reference] = await Promise.all([this.#state(this.subject), this.#state(this.reference)]);
    const { maxEventId } = subject;
    assertSame(
      "the state after this step",
      {
        ...subject,
        log: subject.log.map(this.event),
        stats: mapValues(subject.stats, (s) => ({
          ...s,
          head: this.event(s.head),
          tail: s.tail && this.event(s.tail),
        })),
        maxEventId: maxEventId === -1 ? -1 : this.ids.toReference(maxEventId),
      },
      { ...reference, log: reference.log.map(withoutNull) },
    );
  }

  async #state(store: Store) {
    const log: Event[] = [];
    const positions: unknown[] = [];
    const [found, { maxEventId, count }, stats, subscribed] = await Promise.all([
      store.query<Schemas>((event) => log.push(event)),
      store.query_streams((p) => positions.push(describeLease(p)), { limit: 1_000 }),
      store.query_stats<Schemas>({}, { tail: true, count: true, names: true }),
      store.subscribe([]),
    ]);
    return { found, log, positions, count, maxEventId, stats, subscribed };
  }
}

export function describeLease<T extends { readonly leased_until?: Date }>(position: T) {
  const { leased_until } = position;
  return {
    ...position,
    leased_until: leased_until && (+leased_until > Date.now() + HOUR / 2 ? "live" : "over"),
  };
}

export function mapValues<K, V, W>(map: Map<K, V>, f: (value: V) => W): Map<K, W> {
  return new Map([...map].map(([key, value]) => [key, f(value)]));
}
