/**
 * The bijection between the event ids of two stores. InMemoryStore counts from 0 without gaps,
 * PostgreSQL from 1 and may leave gaps; both increase, so the k-th event of one is the k-th of the other.
 */
export class Ids {
  #subject: number[] = [];
  #reference: number[] = [];

  get count(): number {
    return this.#subject.length;
  }

  /** The subject's id of the k-th event, counting round and round; undefined when there is none. */
  subjectAt(k: number): number | undefined {
    return this.#subject[k % Math.max(1, this.#subject.length)];
  }

  /** Notes the next event. Ids must increase and are never used twice (M2). */
  add(subject: number, reference: number): void {
    if (!Number.isSafeInteger(subject)) throw new Error(`id ${subject} is not an integer`);
    const last = this.#subject.at(-1);
    if (last !== undefined && subject <= last) throw new Error(`M2: id ${subject} was given after ${last}`);
    this.#subject.push(subject);
    this.#reference.push(reference);
  }

  /** Only restore renumbers. */
  clear(): void {
    this.#subject = [];
    this.#reference = [];
  }

  /** The reference's id of an event that the subject returned. */
  toReference(subject: number): number {
    const k = this.#firstFrom(subject);
    const id = this.#reference[k];
    if (id === undefined || this.#subject[k] !== subject)
      throw new Error(`id ${subject} was never committed`);
    return id;
  }

  /** For `id > x` and `id <= x`: the last event up to x, −1 when there is none. */
  floor(x: number): number {
    return this.#reference[this.#firstFrom(x + 1) - 1] ?? -1;
  }

  /** For `id < x`: the first event from x on, beyond all when there is none. */
  ceil(x: number): number {
    return this.#reference[this.#firstFrom(x)] ?? Number.MAX_SAFE_INTEGER;
  }

  #firstFrom(x: number): number {
    let low = 0;
    let high = this.#subject.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#subject[middle] ?? 0) < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
