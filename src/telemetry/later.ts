/**
 * Work that no caller waits for. What is recorded of a commit costs 3 µs, and 32 commits of a batch would have the next
 * batch wait for it: 17 % of the throughput at 32 in flight. A turn of the event loop later the next batch is on its way,
 * and the process would be idle.
 */
export class Later {
  #work: Recorded[] = [];

  do(work: Recorded): void {
    if (this.#work.push(work) === 1) setImmediate(() => this.flush());
  }

  /** Does now what is to be done. */
  flush(): void {
    const work = this.#work;
    this.#work = [];
    for (const one of work) one.record();
  }
}

/** An object, and not a function: a call records itself, without a closure for each. */
export type Recorded = { record(): void };
