/**
 * Keeps events that were fetched before a rebuild in place, or redeliver(), out of the generation that it begins.
 *
 * Act gives a handler no lease, so a handler cannot tell when its event was claimed. The row of positions shows it instead:
 * such a rebuild raises its generation. In each generation a process refuses the first event of a target that it
 * gets, if it has handled the target in an earlier generation, or if it was already running when the generation began and has
 * not seen the target before. In both cases it may have claimed the event before the rebuild.
 * Refused events stay unacknowledged. Those that are delivered next were claimed after the refusal, so after the rebuild.
 */

/** How far the clocks of a worker and of the server may be apart. */
const CLOCK_SKEW = 60_000;
/** Targets whose generation is remembered. One that was forgotten is refused once more, at worst. */
const MAX_KNOWN = 100_000;

export class Fence {
  readonly #projection: string;
  readonly #known = new Map<string, number>();
  readonly #startedAt = Date.now();

  constructor(projection: string) {
    this.#projection = projection;
  }

  /**
   * Whether events of this target may have been fetched in an earlier generation. It remembers the generation, so it is
   * true at most once for a target and a generation. `since`: when the generation began, in ms.
   */
  refuses(target: string, generation: number, since: number): boolean {
    const known = this.#known.get(target);
    if (known === generation) return false;
    this.#known.set(target, generation);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
    if (known === undefined) return generation > 0 && this.#startedAt < since + CLOCK_SKEW;
    return true;
  }

  /** The message of a refusal. */
  reason(target: string): string {
    return `projection ${JSON.stringify(this.#projection)} was rebuilt while events of ${JSON.stringify(target)} were being delivered: nothing was written, and they are delivered again.`;
  }
}
