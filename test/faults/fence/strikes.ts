/** Cancels, or ends, of the sessions of stores in every state, as an administrator's come. */
import type postgres from "postgres";
import type { Shape } from "../../postgres/proxy.ts";
import { connect } from "../../support/database.ts";

/** Which sessions are looked for, one aim after the other. */
const AIMS: Readonly<Record<string, string>> = {
  "any state": "true",
  "waiting for the append lock": "wait_event_type = 'Lock' and wait_event = 'advisory'",
  "in a statement": "state = 'active' and wait_event is distinct from 'advisory'",
  "idle in its transaction": "state = 'idle in transaction'",
  idle: "state = 'idle'",
};

/** BackendKeyData: its letter and length; the server process' id follows. */
const KEY_DATA = Buffer.from([0x4b, 0, 0, 0, 12]);

/** Over in some microseconds, so that it is hit rarely by chance, and what comes behind it relies on it. */
const BEGIN = /\bbegin\b/i;

/** Between two strikes, which are meant to fall at any moment of what runs. */
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

type Blow = "pg_cancel_backend" | "pg_terminate_backend";

export class Strikes {
  /** What was sent, by what it was aimed at. */
  readonly sent = new Map<string, number>();
  readonly #blow: Blow;
  /** The longest time between two rounds of strikes, in ms. */
  readonly #pace: number;
  readonly #sql: postgres.Sql;
  readonly #pids = new WeakMap<object, number>();
  readonly #flying = new Set<Promise<void>>();

  constructor(url: string, blow: Blow, pace: number) {
    this.#blow = blow;
    this.#pace = pace;
    this.#sql = connect(url, { max: 2 });
  }

  get total(): number {
    return [...this.sent.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Strikes one session after the other of those whose application's name is like this. */
  async until(over: () => boolean, application: string): Promise<void> {
    while (!over()) {
      for (const [aim, where] of Object.entries(AIMS)) {
        const hit = await this.#sql.unsafe(
          `select ${this.#blow}(pid) from (
             select pid from pg_stat_activity where application_name like $1 and ${where} order by random() limit 1
           ) one`,
          [application],
          { prepare: true },
        );
        this.#count(aim, hit.length);
      }
      // The time between two rounds.
      await pause(Math.random() * this.#pace);
    }
  }

  /**
   * For a proxy: every so often a session is struck just as what a client sent goes on to it, more often where a
   * transaction begins.
   */
  atSending(chance: number): Shape {
    return async (bytes, way, connection) => {
      if (way === "down") {
        const at = this.#pids.has(connection) ? -1 : bytes.indexOf(KEY_DATA);
        if (at >= 0) this.#pids.set(connection, bytes.readInt32BE(at + KEY_DATA.length));
        return { pieces: [bytes] };
      }
      const pid = this.#pids.get(connection);
      const own = BEGIN.test(bytes.toString("latin1")) ? chance : chance / 10;
      if (pid !== undefined && Math.random() < own) {
        this.#fly(pid);
        // Both are under way then, and either may be first.
        if (Math.random() < 0.5) await new Promise(setImmediate);
      }
      return { pieces: [bytes] };
    };
  }

  #fly(pid: number): void {
    const flight = this.#sql
      .unsafe(`select ${this.#blow}($1)`, [pid], { prepare: true })
      .then(() => this.#count("as it was sent", 1))
      .finally(() => this.#flying.delete(flight));
    this.#flying.add(flight);
  }

  #count(aim: string, count: number): void {
    this.sent.set(aim, (this.sent.get(aim) ?? 0) + count);
  }

  /** Once none is under way any more. */
  async end(): Promise<void> {
    await Promise.all(this.#flying);
    await this.#sql.end();
  }
}
