/** The id of the newest event that this process appended to each of the streams that it used most recently. */
export class LatestIds {
  readonly #max: number;
  readonly #ids = new Map<string, number>();

  /** @param max Number of streams, at most. A name and an id take about 100 bytes. */
  constructor(max = 4_096) {
    this.#max = max;
  }

  get(stream: string): number | undefined {
    return this.#ids.get(stream);
  }

  set(stream: string, id: number): void {
    // A Map keeps the order in which keys were added, so its first key is the stream that was not used for the longest time.
    this.#ids.delete(stream);
    this.#ids.set(stream, id);
    if (this.#ids.size <= this.#max) return;
    for (const oldest of this.#ids.keys()) {
      this.#ids.delete(oldest);
      return;
    }
  }
}
