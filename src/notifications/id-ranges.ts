type Range = { readonly from: number; readonly to: number };

/**
 * A set of event ids, kept as ranges. Ids that continue the last range, as those of a single writer do, extend it. A
 * look-up is a binary search. Beyond `limit` ranges the one with the lowest ids is removed.
 */
export class IdRanges {
  readonly #limit: number;
  /** Ascending. Between two ranges is at least one id that belongs to neither. */
  #ranges: Range[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The number of ranges. */
  get size(): number {
    return this.#ranges.length;
  }

  /** The highest id; undefined for an empty set. */
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

  /** The index of the first range that ends at `id` or later. */
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
