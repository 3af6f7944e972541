/** How often each connection of a pool was used, and by how many owners. Both may be limited. */
import type { Connection } from "./connection.ts";
import type { Owner } from "./waiting-line.ts";

export class ConnectionUses {
  readonly #maxUses: number;
  readonly #maxOwners: number;
  readonly #uses = new WeakMap<Connection, number>();
  readonly #owners = new WeakMap<Connection, { readonly known: WeakSet<Owner>; count: number }>();

  /** `maxUses`: 0 for no limit. */
  constructor(maxUses: number, maxOwners = Number.POSITIVE_INFINITY) {
    this.#maxUses = maxUses;
    this.#maxOwners = maxOwners;
  }

  add(connection: Connection, owner: Owner | undefined): void {
    if (this.#maxUses > 0) this.#uses.set(connection, (this.#uses.get(connection) ?? 0) + 1);
    if (!owner) return;
    owner.last = connection;
    const { known, count } = this.#owners.get(connection) ?? { known: new WeakSet<Owner>(), count: 0 };
    if (!known.has(owner)) this.#owners.set(connection, { known: known.add(owner), count: count + 1 });
  }

  /** Whether the connection has had `maxUses` uses, or more than `maxOwners` owners. */
  areSpent(connection: Connection): boolean {
    return (
      (this.#maxUses > 0 && (this.#uses.get(connection) ?? 0) >= this.#maxUses) ||
      (this.#owners.get(connection)?.count ?? 0) > this.#maxOwners
    );
  }
}
