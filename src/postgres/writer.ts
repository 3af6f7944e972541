/**
 * The connection for appends. They wait for the append lock, and a query that is bound to a busy connection
 * waits behind it: so reads have connections of their own. Opened when needed, closed when idle.
 */

import { storeClosed } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import { type Hosts, openConnection } from "./host-selection.ts";
import type { Pool } from "./pool.ts";

export class Writer {
  readonly #target: ConnectionTarget;
  readonly #hosts: Hosts;
  readonly #facts: string;
  readonly #shared: Pool | undefined;
  #connection: Connection | undefined;
  /** The end of the use before, and how many have not ended. */
  #last: Promise<unknown> = Promise.resolve();
  #uses = 0;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  /** `facts`: what appends want to know of the database. With `shared` it takes its connection from there. */
  constructor(target: ConnectionTarget, hosts: Hosts, facts: string, shared?: Pool) {
    this.#target = target;
    this.#hosts = hosts;
    this.#facts = facts;
    this.#shared = shared;
  }

  /** Runs `work` on the connection, one use after the other; at once when the connection is there and free. */
  use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#shared) return this.#shared.use(work);
    const start = (connection: Connection) => {
      clearTimeout(this.#idle);
      connection.ref(true);
      return work(connection);
    };
    const ready = this.#uses === 0 && !this.#connection?.closedWith ? this.#connection : undefined;
    const use = ready ? start(ready) : this.#last.then(async () => start(await this.#open()));
    this.#follow(use);
    return use;
  }

  /** The next use begins behind this one. */
  #follow(use: Promise<unknown>): void {
    this.#uses++;
    const ended = () => void this.#uses--;
    this.#last = use.then(ended, ended);
  }

  /**
   * Opens the connection before it is needed, and lets `work` prepare it: a first commit then takes as long as any.
   * Keeps no process alive, and whatever fails is met by that commit. Nothing with a single connection for all.
   */
  warmUp(work: (connection: Connection) => Promise<unknown>): void {
    if (this.#shared || this.#connection) return;
    this.#follow(
      this.#last.then(async () => {
        if (this.#closed) return;
        const connection = await this.#open();
        connection.ref(false);
        await work(connection);
        this.releaseIdle();
      }),
    );
  }

  async #open(): Promise<Connection> {
    if (this.#connection && !this.#connection.closedWith) return this.#connection;
    if (this.#closed) throw storeClosed();
    this.#connection = await openConnection(
      {
        ...this.#target,
        facts: this.#facts,
        // A client that vanished must not hold the append lock: its transactions never idle.
        settings: { idle_in_transaction_session_timeout: 10_000, plan_cache_mode: "force_generic_plan" },
      },
      this.#hosts,
      (closed) => {
        if (this.#connection === closed) this.#connection = undefined;
      },
    );
    return this.#connection;
  }

  /** Nothing to do: it keeps no process alive, and closes after the idle timeout. */
  releaseIdle(): void {
    const connection = this.#connection;
    if (!connection) return;
    connection.ref(false);
    clearTimeout(this.#idle);
    if (this.#target.config.idleTimeoutMillis <= 0) return;
    this.#idle = setTimeout(() => {
      if (this.#connection === connection) this.#connection = undefined;
      void connection.end();
    }, this.#target.config.idleTimeoutMillis);
    this.#idle.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    clearTimeout(this.#idle);
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.end();
  }
}
