/**
 * Callers that wait for a connection. Callers of one owner are served first come, first served. Owners take turns, so that a
 * busy store cannot keep the shared connections from a quiet one. A pool of one store has one owner.
 *
 * A free connection goes to the first owner whose last call used this same connection, if there is one among the next
 * LOOK_AHEAD owners: its server process knows that owner's tables and has the owner's statements prepared. An owner is passed
 * over at most MAX_PASSES times.
 */

/** The store for which a caller waits, if several stores share the pool. */
export type Owner<Connection = object> = {
  /** The connection that it used last. */
  last: Connection | undefined;
};

/** How many owners after the first are examined for one whose last call used the free connection. */
const LOOK_AHEAD = 64;
/** How often an owner whose turn it is may be passed over. */
const MAX_PASSES = 8;

export class WaitingLine<W extends { readonly owner: Owner | undefined }> {
  /** The waiting callers of each owner, in the order of the owners' turns. No list is empty. */
  readonly #lines = new Map<Owner | undefined, W[]>();
  #length = 0;
  /** How often the owner whose turn it is was passed over. */
  #passes = 0;

  get length(): number {
    return this.#length;
  }

  push(waiter: W): void {
    const line = this.#lines.get(waiter.owner);
    if (line) line.push(waiter);
    else this.#lines.set(waiter.owner, [waiter]);
    this.#length++;
  }

  /** Takes the first caller of the owner whose turn it is; that owner's next turn comes after all others'. */
  shift(connection?: object): W | undefined {
    const [turn] = this.#lines;
    if (!turn) return undefined;
    const used = this.#passes < MAX_PASSES ? this.#whoUsed(connection) : undefined;
    const [owner, line] = used ?? turn;
    this.#passes = line === turn[1] ? 0 : this.#passes + 1;
    const waiter = line.shift();
    this.#lines.delete(owner);
    if (line.length > 0) this.#lines.set(owner, line);
    this.#length--;
    return waiter;
  }

  #whoUsed(connection: object | undefined): [Owner | undefined, W[]] | undefined {
    if (this.#lines.size < 2 || connection === undefined) return undefined;
    let looked = 0;
    for (const entry of this.#lines) {
      if (entry[0]?.last === connection) return entry;
      if (++looked > LOOK_AHEAD) return undefined;
    }
    return undefined;
  }

  /** All callers have the same timeout, so the one that gives up is usually its owner's first, which is cheap to remove. */
  remove(waiter: W): void {
    const line = this.#lines.get(waiter.owner);
    const at = line?.[0] === waiter ? 0 : (line?.indexOf(waiter) ?? -1);
    if (!line || at < 0) return;
    if (at === 0) line.shift();
    else line.splice(at, 1);
    if (line.length === 0) this.#lines.delete(waiter.owner);
    this.#length--;
  }

  /** Takes those for whom `condition` holds. */
  takeIf(condition: (waiter: W) => boolean): W[] {
    const taken = [...this.#lines.values()].flat().filter(condition);
    for (const waiter of taken) this.remove(waiter);
    return taken;
  }
}
