/** Leases as their holders know them: two holders at once are found out without asking the database. */
import type { Lease } from "@rotorsoft/act";

type Grant = { readonly by: string; readonly from: number; until: number };

export class Grants {
  readonly #held = new Map<string, Grant>();
  /** Streams granted to one while another certainly held them. */
  readonly twice: string[] = [];

  /**
   * A claim that was called at `start` and has just been answered. The server granted at some time in between:
   * so the lease is certainly held from now, until `millis` after the call.
   */
  granted(leases: readonly Lease[], start: number, millis: number): void {
    const now = performance.now();
    for (const { stream, by } of leases) {
      const other = this.#held.get(stream);
      if (other && other.by !== by && start > other.from && now < other.until)
        this.twice.push(`${stream}: by ${other.by} and ${by}`);
      this.#held.set(stream, { by, from: now, until: start + millis });
    }
  }

  /** Whoever acks may have lost the lease by the time of the answer. */
  returning(leases: readonly Lease[]): void {
    for (const { stream, by } of leases) if (this.#held.get(stream)?.by === by) this.#held.delete(stream);
  }
}
