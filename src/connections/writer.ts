/**
 * The connection for appends. They wait for the append lock, and a query that is bound to a busy connection
 * waits behind it: so reads have connections of their own. Opened when needed, closed when idle.
 */
import type { Config } from "../config.ts";
import { type Hosts, openSlot } from "./open.ts";
import { closedError, type Pool } from "./pool.ts";
import type { Query, Slot } from "./slot.ts";

const BACKEND = `select pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()`;

export class Writer {
  readonly #config: Config;
  readonly #hosts: Hosts;
  readonly #shared: Pool | undefined;
  readonly #ready = new WeakSet<Slot>();
  #warm: readonly Query[] = [];
  #slot: Slot | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  /** With `shared` it takes its connection from there, for each use anew. */
  constructor(config: Config, hosts: Hosts, shared?: Pool) {
    this.#config = config;
    this.#hosts = hosts;
    this.#shared = shared;
  }

  /** Statements to prepare on each new connection, so that groups go out in one write. */
  warmWith(queries: readonly Query[]): void {
    this.#warm = queries;
  }

  /** Runs `work` on the connection; only one use at a time. */
  async use<T>(deadline: number, work: (slot: Slot) => Promise<T>): Promise<T> {
    if (this.#shared)
      return this.#shared.use(async (slot) => {
        await this.#prepare(slot, deadline);
        return work(slot);
      });
    clearTimeout(this.#idle);
    const slot = await this.#open();
    slot.ref(true);
    await this.#prepare(slot, deadline);
    return work(slot);
  }

  async #open(): Promise<Slot> {
    if (this.#slot && !this.#slot.failure) return this.#slot;
    if (this.#closed) throw closedError();
    this.#slot = await openSlot(
      {
        config: this.#config,
        // A half-open client must not hold the append lock: its transactions never idle.
        settings: { idle_in_transaction_session_timeout: 10_000, plan_cache_mode: "force_generic_plan" },
      },
      this.#hosts,
      (dead) => {
        if (this.#slot === dead) this.#slot = undefined;
      },
    );
    return this.#slot;
  }

  async #prepare(slot: Slot, deadline: number): Promise<void> {
    if (this.#ready.has(slot)) return;
    for (const query of this.#warm) await slot.run(query, deadline);
    // Behind a pooler the server process is not this connection's own.
    if (this.#config.prepare) {
      const [row] = await slot.run({ text: BACKEND }, deadline);
      if (row) slot.backend = { pid: Number(row.pid), started: String(row.started) };
    }
    this.#ready.add(slot);
  }

  /** Nothing to do: it keeps no process alive, and closes after the idle timeout. */
  rest(): void {
    const slot = this.#slot;
    if (!slot) return;
    slot.ref(false);
    clearTimeout(this.#idle);
    if (this.#config.idleTimeoutMillis <= 0) return;
    this.#idle = setTimeout(() => {
      if (this.#slot === slot) this.#slot = undefined;
      void slot.end();
    }, this.#config.idleTimeoutMillis);
    this.#idle.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    const slot = this.#slot;
    this.#slot = undefined;
    await slot?.end();
  }
}
