/** A database of the test file's own, seeded stores on it, and a look at their connections from outside. */
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { type RunningPostgres, startPostgres } from "../../dev/postgres/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { connect, OpenDatabase } from "../support/database.ts";

export const meta = { correlation: "test", causation: {} };
export const event = (name = "Happened", data: Record<string, unknown> = {}) => ({ name, data });

export type Gate = {
  readonly text: string;
  /** How many statements wait for it. */
  waiting(): Promise<number>;
  open(): Promise<void>;
};

export class DatabaseFixture extends OpenDatabase {
  #stores = 0;

  async open(server?: string): Promise<void> {
    await this.openDatabase({ server });
  }

  get url(): string {
    return this.database.url;
  }

  /** The URL's parts as options, which a proxy's host and port may replace. */
  get parts() {
    const { hostname, port, username, password, pathname } = new URL(this.url);
    return {
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || 5432),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      database: pathname.slice(1),
      schema: this.database.schema,
    };
  }

  /** A name for connections that no other test file uses, on whatever database. */
  application(name: string): string {
    return `${this.database.name}_${name}`;
  }

  /** A store that connects under a name of its own; unless told otherwise, to a table of its own. */
  store(options: PostgresStoreOptions = {}): PostgresStore {
    const table = `t${this.#stores++}`;
    const own = { table, application_name: this.application(table) };
    const store = new PostgresStore({ ...this.parts, ...own, ...options });
    onTestFinished(() => store.dispose());
    return store;
  }

  async seeded(options: PostgresStoreOptions = {}): Promise<PostgresStore> {
    const store = this.store(options);
    await store.seed();
    return store;
  }

  /** The server's processes behind a store, in order of their start. */
  async pids({ config }: PostgresStore): Promise<number[]> {
    const rows = await this.sql<{ pid: number }[]>`
      select pid from pg_stat_activity where application_name = ${config.application_name}
      order by backend_start`;
    return rows.map(({ pid }) => pid);
  }

  /** Ends every connection of a store, as an administrator or a crashing backend does. */
  async kill({ config }: PostgresStore): Promise<number> {
    const killed = await this.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${config.application_name}`;
    return killed.length;
  }

  /**
   * Opens that many connections for reads. Calls at once are no way to do so: the first connection may have answered them
   * all before another is open. So each waits for the log's table, until all of them have a connection. The connection for
   * commits may wait for it, too, to prepare its statements.
   */
  async openReaders(store: PostgresStore, count: number): Promise<void> {
    const { schema, table, application_name } = store.config;
    const locker = connect(this.url);
    await locker.unsafe("begin");
    await locker`lock table ${locker(schema)}.${locker(table)} in access exclusive mode`;
    const reads = Array.from({ length: count }, () => store.query(() => {}));
    await until("each read has a connection", async () => {
      const waiting = await this.sql`
        select from pg_stat_activity
        where application_name = ${application_name} and wait_event_type = 'Lock'
          and query like 'select * from (select%(select e.id, e.name%'`;
      return waiting.length === count;
    });
    await locker.unsafe("rollback");
    await locker.end();
    await Promise.all(reads);
  }

  /** What `created`, `data` and the rest of the log look like from outside. */
  async rows({ config }: PostgresStore): Promise<{ stream: string; version: number; name: string }[]> {
    return this.sql`
      select stream, version, name from ${this.sql(config.schema)}.${this.sql(config.table)} order by id`;
  }

  /** An open transaction that holds the store's append lock, or the lock of the given text. */
  async hold({ config }: PostgresStore): Promise<{ release(): Promise<void> }> {
    const sql = connect(this.url);
    await sql.unsafe("begin");
    await sql`select pg_advisory_xact_lock(hashtext(${`"${config.schema}"."${config.table}"`}))`;
    let held = true;
    const release = async () => {
      if (!held) return;
      held = false;
      await sql.unsafe("rollback");
      await sql.end();
    };
    onTestFinished(release);
    return { release };
  }

  /** An advisory lock that is held until it is opened. `text`: a statement that waits for it. */
  async closedGate(key: number): Promise<Gate> {
    const sql = connect(this.url);
    await sql`select pg_advisory_lock(${key})`;
    let closed = true;
    const open = async () => {
      if (!closed) return;
      closed = false;
      await sql.end();
    };
    onTestFinished(open);
    const waiting = async () => {
      const [row] = await this.sql`
        select count(*)::int as n from pg_locks
        where locktype = 'advisory' and objid = ${key} and not granted
          and database = (select oid from pg_database where datname = current_database())`;
      return Number(row?.n);
    };
    return { text: `select pg_advisory_xact_lock_shared(${key})`, waiting, open };
  }

  /** The server's processes of this file's stores that wait for an advisory lock. */
  async lockWaiters(): Promise<number[]> {
    const waiting = await this.sql<{ pid: number }[]>`
      select pid from pg_locks join pg_stat_activity using (pid)
      where locktype = 'advisory' and not granted and application_name like ${this.application("%")}`;
    return waiting.map(({ pid }) => pid);
  }

  /** How many sessions of a store wait for a row that another transaction has changed. */
  async rowWaiters({ config }: PostgresStore): Promise<number> {
    const waiting = await this.sql`
      select from pg_locks join pg_stat_activity using (pid)
      where locktype = 'transactionid' and not granted and application_name = ${config.application_name}`;
    return waiting.length;
  }

  /** A role that may log in, until the test ends; undefined where the server's user may not make any. */
  async role(options = ""): Promise<{ readonly user: string; readonly password: string } | undefined> {
    const [row] = await this.sql`select rolsuper as may from pg_roles where rolname = current_user`;
    if (row?.may !== true) return undefined;
    const user = `${this.database.name}_${this.#stores++}`;
    await this.sql.unsafe(`create role ${user} login password 'role' ${options}`);
    onTestFinished(async () => {
      await this.sql.unsafe(`drop owned by ${user}`);
      await this.sql.unsafe(`drop role ${user}`);
    });
    return { user, password: "role" };
  }
}

/** A fixture for all tests of this file. */
export function useDatabase(): DatabaseFixture {
  const fixture = new DatabaseFixture();
  beforeAll(() => fixture.open());
  afterAll(() => fixture.close());
  return fixture;
}

/** The same on a server of this file's own, which may be stopped and killed. */
export function useServer(): { readonly fixture: DatabaseFixture; readonly server: RunningPostgres } {
  const fixture = new DatabaseFixture();
  let running: RunningPostgres | undefined;
  beforeAll(async () => {
    running = await startPostgres({ prefer: "embedded", durable: true });
    await fixture.open(running.url);
  });
  afterAll(async () => {
    // The connection that looks on may have been lost with the server.
    await fixture.sql.end({ timeout: 1 }).catch(() => {});
    await running?.stop();
  });
  return {
    fixture,
    get server() {
      if (!running) throw new Error("The server has not been started");
      return running;
    },
  };
}

/** The error of a promise that must not fulfil, and how long it took. */
export async function failureOf(promise: Promise<unknown>): Promise<{ error: unknown; millis: number }> {
  const start = performance.now();
  const outcome = await promise.then(
    (value: unknown) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!("error" in outcome)) throw new Error("Succeeded where a failure was expected");
  return { error: outcome.error, millis: performance.now() - start };
}
