/**
 * What a process has seen of its log, so that no replica shows it an earlier state. Two marks say that: the highest event
 * id that it has committed, read, or been told of; and, after something that changes the log without a new id (truncate,
 * restore, forget_pii), a position of the WAL.
 *
 * An event id suffices for everything that was appended: ids become visible in their order, on a standby too, so a server
 * that has an event has all events before it (ADR 0021).
 */

/** The primary's state: its last event, and its position in the WAL. */
export type Position = { readonly head: number; readonly lsn: string };

/** What a server has to show. `lsn` undefined: any. */
export type Needed = { readonly event: number; readonly lsn: string | undefined };

const bytesOf = (lsn: string): bigint => {
  const [high = "0", low = "0"] = lsn.split("/");
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
};

/** The later one of two positions of the WAL. */
export const later = (one: string | undefined, other: string | undefined): string | undefined =>
  one === undefined || other === undefined ? (one ?? other) : bytesOf(one) > bytesOf(other) ? one : other;

/** ms for which a replica may lack what was seen before the primary is asked whether it has that itself. */
const SETTLE_MS = 1_000;

export class Seen {
  readonly #position: () => Promise<Position>;
  #event = -1;
  #lsn: string | undefined;
  /** The log was changed, and the position of that is not known yet. */
  #unknown = false;
  #changes = 0;
  #asking: Promise<void> | undefined;
  #raisedAt = 0;

  /** `position`: asks the primary. */
  constructor(position: () => Promise<Position>) {
    this.#position = position;
  }

  /** An event was committed, read, or told of. */
  event(id: number): void {
    if (!(id > this.#event)) return;
    this.#event = id;
    this.#raisedAt = performance.now();
  }

  /** The log was changed without a new id, or may be ahead by some unknown id. */
  changed(): void {
    this.#changes++;
    this.#unknown = true;
    void this.#ask();
  }

  /** For how many ms nothing newer has been seen. */
  get age(): number {
    return performance.now() - this.#raisedAt;
  }

  /** What a server has to show; undefined while only the primary is sure to. */
  get needed(): Needed | undefined {
    if (!this.#unknown) return { event: this.#event, lsn: this.#lsn };
    void this.#ask();
    return undefined;
  }

  /**
   * A replica lacks what was seen. If it does so for long, the mark may be wrong: the log was restored by another process,
   * or a caller has named an id that does not exist.
   */
  missing(): void {
    if (this.age > SETTLE_MS) void this.#ask();
  }

  #ask(): Promise<void> {
    this.#asking ??= this.#settle().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #settle(): Promise<void> {
    const changes = this.#changes;
    const event = this.#event;
    this.#raisedAt = performance.now();
    try {
      const { head, lsn } = await this.#position();
      // Something else was changed meanwhile: the next read asks again.
      if (changes !== this.#changes) return;
      if (head < event && event === this.#event) {
        this.#event = head;
        this.#lsn = lsn;
      }
      if (this.#unknown) {
        this.#unknown = false;
        this.#lsn = lsn;
      }
    } catch {
      // The next read asks again.
    }
  }
}
