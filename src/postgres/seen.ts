/**
 * What a process has seen of its log, so that no replica shows it an earlier state. There are two marks:
 * - the highest event id that it has committed or read, or that a caller named by `sawEvent`;
 * - a WAL position, once the log may have changed in a way that no known id shows (truncate, restore, forget_pii, a commit
 *   that failed or was refused).
 *
 * The event id covers everything that was appended. Ids become visible in order, on a standby too, so a server that has an
 * event has all events before it (ADR 0021).
 */

/** The primary's state: its last event and its WAL position. */
export type Position = { readonly head: number; readonly lsn: string };

/** What a server must have. `lsn` undefined: the position does not matter. */
export type Needed = { readonly event: number; readonly lsn: string | undefined };

const bytesOf = (lsn: string): bigint => {
  const [high = "0", low = "0"] = lsn.split("/");
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
};

/** The later one of two WAL positions. */
export const later = (one: string | undefined, other: string | undefined): string | undefined =>
  one === undefined || other === undefined ? (one ?? other) : bytesOf(one) > bytesOf(other) ? one : other;

/** ms for which replicas may lack an event that was seen. Then the store asks the primary whether the event exists. */
const MISSING_LIMIT_MS = 1_000;

export class Seen {
  readonly #position: () => Promise<Position>;
  #event = -1;
  #lsn: string | undefined;
  /** The log was changed, and the WAL position of that change is not known yet. */
  #unknown = false;
  #changes = 0;
  #asking: Promise<void> | undefined;
  #raisedAt = 0;

  /** `position`: asks the primary for its position. */
  constructor(position: () => Promise<Position>) {
    this.#position = position;
  }

  /** Call it for each event that the process has committed or read, or that a caller named. */
  event(id: number): void {
    if (!(id > this.#event)) return;
    this.#event = id;
    this.#raisedAt = performance.now();
  }

  /** The log was changed without a new event, or by a transaction whose new events are not known here. */
  changed(): void {
    this.#changes++;
    this.#unknown = true;
    void this.#ask();
  }

  /** Time in ms since a newer event was seen, or since the primary was last asked. */
  get age(): number {
    return performance.now() - this.#raisedAt;
  }

  /** What a server must have; undefined while only the primary is sure to have it. */
  get needed(): Needed | undefined {
    if (!this.#unknown) return { event: this.#event, lsn: this.#lsn };
    void this.#ask();
    return undefined;
  }

  /**
   * Call it when a replica lacks an event that was seen. If that lasts, the id may be wrong: another process restored the
   * log, or a caller of `sawEvent` named an event that does not exist.
   */
  missing(): void {
    if (this.age > MISSING_LIMIT_MS) void this.#ask();
  }

  #ask(): Promise<void> {
    this.#asking ??= this.#refresh().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #refresh(): Promise<void> {
    const changes = this.#changes;
    const event = this.#event;
    this.#raisedAt = performance.now();
    try {
      const { head, lsn } = await this.#position();
      // There was another change meanwhile: the next read asks again.
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
