/** A log, read models in another database, and workers between them that die and are started again. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import type postgres from "postgres";
import { expect, onTestFinished } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { actPositions } from "../../../src/projections/index.ts";
import type { AppFixture } from "../../framework/fixture.ts";
import { tables } from "../../projections/fixture.ts";
import { connect, createDatabase } from "../../support/database.ts";
import { bundled } from "../kit/bundled.ts";
import { record } from "../kit/report.ts";
import { counters, differences, folds } from "./read-models.ts";
import type { WorkerOptions } from "./worker.ts";

const STREAMS = 5;
/** ms without any progress after which there will be none. Leases, and that of a dead correlator, end far earlier. */
export const STALLED = 60_000;
const LOOK = 100;
const meta = { correlation: "test", causation: {} };

type Subscription = {
  readonly stream: string;
  readonly at: number;
  readonly head: number;
  readonly leased: boolean;
  readonly blocked: boolean;
  readonly retry: number;
};

export class Arena {
  readonly store: PostgresStore;
  readonly models: postgres.Sql;
  readonly #fixture: AppFixture;
  readonly #url: string;
  readonly #program: string;
  readonly #start = performance.now();
  /** Processes that ended by themselves: a driver's crash. */
  crashes = 0;

  private constructor(
    fixture: AppFixture,
    store: PostgresStore,
    url: string,
    models: postgres.Sql,
    program: string,
  ) {
    this.#program = program;
    this.#fixture = fixture;
    this.store = store;
    this.#url = url;
    this.models = models;
  }

  static async open(fixture: AppFixture): Promise<Arena> {
    const { url, drop } = await createDatabase();
    const models = connect(url);
    for (const statement of await tables({ counters, folds, positions: actPositions() }))
      await models.unsafe(statement);
    onTestFinished(async () => {
      await models.end();
      await drop();
    });
    return new Arena(
      fixture,
      await fixture.seeded(),
      url,
      models,
      await bundled(new URL("./worker.ts", import.meta.url)),
    );
  }

  /** Appends so many events, to streams in turn. */
  async deposit(events: number): Promise<void> {
    const commit = (_: unknown, n: number) =>
      this.store.commit(`s${n % STREAMS}`, [{ name: "Deposited", data: { amount: 1 + (n % 7) } }], meta);
    await Promise.all(Array.from({ length: events }, commit));
    // Act blocks a target whose workers died or failed four times in a row; an operator unblocks it.
    await this.store.unblock({});
  }

  /** As deposit, where there is no work left; and unblocks what is. */
  async feed(events: number): Promise<void> {
    const working = (await this.subscriptions()).some(({ at, head }) => at < head);
    await (working ? this.store.unblock({}) : this.deposit(events));
  }

  start(options: Pick<WorkerOptions, "driver" | "leaseMillis"> & Partial<WorkerOptions>): Process {
    const log = { url: this.#fixture.url, table: this.store.config.table };
    const process = new Process(this.#program, { log, readModels: this.#url, ...options });
    onTestFinished(() => process.kill());
    return process;
  }

  /** How many transactions are open on the read models. */
  async inTransaction(): Promise<number> {
    const open = await this.models`
      select from pg_stat_activity where application_name = 'read-models' and xact_start is not null`;
    return open.length;
  }

  /** Ends every connection to the read models, as an administrator or a crashing backend does. */
  async endConnections(): Promise<number> {
    const ended = await this.models`
      select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'read-models'`;
    return ended.length;
  }

  /** Every subscription: how far it is, up to where its events go, and what keeps it. */
  async subscriptions(): Promise<readonly Subscription[]> {
    const { sql } = this.#fixture;
    return await sql<Subscription[]>`
      select stream, at::int, (select max(id)::int from ${this.#fixture.table(this.store)} e
        where s.source is null or e.stream = s.source) as head, leased_by is not null as leased, blocked, retry
      from ${sql(`${this.store.config.table}_streams`)} s`;
  }

  /**
   * Resolves once every subscription is at its head, and free. Nothing tells when that is, so it looks, and it fails when
   * nothing has moved for long. A target that lost its lease too often is blocked at its next claim: it is unblocked
   * again and again.
   */
  async #finish(): Promise<void> {
    let moved = performance.now();
    for (let last = ""; ; await pause(LOOK)) {
      await this.store.unblock({});
      const open = (await this.subscriptions()).filter((s) => s.at < s.head || s.leased || s.blocked);
      if (open.length === 0) return;
      const now = JSON.stringify(open);
      if (now !== last) moved = performance.now();
      else if (performance.now() - moved > STALLED) throw new Error(`nothing moves: ${now}`);
      last = now;
    }
  }

  /** Lets two workers finish in peace, and fails unless the read models are what the log says. */
  async conclude(fault: string, load: string, injected: number): Promise<void> {
    const all = { leaseMillis: 10_000, patient: true, eventLimit: 200 };
    const finishers = [
      this.start({ driver: "postgres.js", ...all }),
      this.start({ driver: "node-postgres", ...all }),
    ];
    await this.#finish();
    await Promise.all(finishers.map((finisher) => finisher.kill()));
    const { events, found, lost, duplicated } = await differences(this.#fixture.sql, this.store, this.models);
    const seconds = Math.round((performance.now() - this.#start) / 100) / 10;
    const told = { acknowledged: events, failed: 0, unknown: 0, longestOutageMs: 0 };
    const summary = { item: 16, fault, load, seconds, injected, ...told, lost, duplicated };
    console.log(JSON.stringify({ ...summary, crashes: this.crashes }));
    record(summary);
    expect(found).toEqual([]);
    expect(injected).toBeGreaterThan(0);
  }
}

export class Process {
  readonly #child: ChildProcess;
  readonly #exit: Promise<string | number | null>;

  constructor(program: string, options: WorkerOptions) {
    this.#child = fork(program, [JSON.stringify(options)], {
      execArgv: [],
      env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "fatal" },
      stdio: ["ignore", "ignore", process.env.WORKERS_SAY ? "inherit" : "ignore", "ipc"],
    });
    this.#exit = once(this.#child, "exit").then(([code, signal]) => signal ?? code);
  }

  /** By what it ended: a signal, or an exit code. */
  exit(): Promise<string | number | null> {
    return this.#exit;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
  }
}
