/** The ids of the newest events that this process appended, by stream. */
export class LatestIds {
  readonly #max: number;
  readonly #ids = new Map<string, number>();

  /** @param max Number of streams, at most. A name and an id take about 100 bytes. */
  constructor(max = 8_192) {
    this.#max = max;
  }

  get(stream: string): number | undefined {
    return this.#ids.get(stream);
  }

  set(stream: string, id: number): void {
    // All are forgotten at once. Removing the oldest one at each commit took 7 % of the process's time at 128 in flight.
    if (this.#ids.size >= this.#max && !this.#ids.has(stream)) this.#ids.clear();
    this.#ids.set(stream, id);
  }
}
