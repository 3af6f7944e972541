/**
 * A set of event ids, kept as ranges. Adding costs nothing when an id continues the last range, which is what a
 * single writer does; a look-up is a binary search. At most `limit` ranges are kept: beyond that the lowest ids
 * are forgotten.
 */
type Range = { readonly from: number; readonly to: number };

export class IdRanges {
  readonly #limit: number;
  /** Ascending; between two of them lies at least one id that is in neither. */
  #ranges: Range[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many ranges are kept. */
  get size(): number {
    return this.#ranges.length;
  }

  /** The highest id; undefined when there is none. */
  get highest(): number | undefined {
    return this.#ranges.at(-1)?.to;
  }

  /** Adds all ids from `from` to `to`, inclusive. */
  add(from: number, to: number): void {
    const start = this.#firstReaching(from - 1);
    let end = start;
    let [low, high] = [from, to];
    for (let range = this.#ranges[end]; range && range.from <= to + 1; range = this.#ranges[++end]) {
      low = Math.min(low, range.from);
      high = Math.max(high, range.to);
    }
    this.#ranges.splice(start, end - start, { from: low, to: high });
    if (this.#ranges.length > this.#limit) this.#ranges.shift();
  }

  has(id: number): boolean {
    const range = this.#ranges[this.#firstReaching(id)];
    return range !== undefined && range.from <= id;
  }

  clear(): void {
    this.#ranges = [];
  }

  /** Index of the first range that ends at `id` or beyond. */
  #firstReaching(id: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range && range.to < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
