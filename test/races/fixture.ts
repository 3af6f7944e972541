/** Where races are run: a database per default isolation level, stores of their own on it, seeded chance. */
import type { Schemas } from "@rotorsoft/act";
import { afterAll, beforeAll, describe, onTestFinished } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { randomFrom } from "../order/appenders.ts";
import { until } from "../order/fence.ts";
import { lockText, type TableName } from "../order/lock.ts";
import { OpenDatabase } from "../support/database.ts";

export const meta = { correlation: "race", causation: {} };

/** Through a pooler a session can't be set to read committed: each transaction has to say so. */
const worlds = [
  { isolation: "read committed" },
  { isolation: "repeatable read" },
  { isolation: "serializable" },
  { isolation: "serializable", prepare: false },
] as const;
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);

export type Row = {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly name: string;
  readonly data: Record<string, unknown>;
};

/**
 * Defines the tests once for each level that a database may give to transactions by default: in full
 * for read committed, small for the others, where the store must not inherit the level.
 */
export function underEveryIsolation(title: string, define: (fixture: AppFixture) => void): void {
  for (const { isolation, ...options } of worlds) {
    const pooled = "prepare" in options ? ", set up for a pooler" : "";
    describe(`${title}, default isolation ${isolation}${pooled}`, () => {
      const fixture = new AppFixture(isolation === "read committed", options);
      beforeAll(async () => {
        console.log(`${title}: SEED=${seed}`);
        await fixture.open(isolation);
      });
      afterAll(() => fixture.close());
      define(fixture);
    });
  }
}

export class AppFixture extends OpenDatabase {
  readonly full: boolean;
  /** Of every store. */
  readonly options: PostgresStoreOptions;
  readonly random = randomFrom(seed);
  #tables = 0;

  constructor(full: boolean, options: PostgresStoreOptions) {
    super();
    this.full = full;
    this.options = options;
  }

  async open(isolation: string): Promise<void> {
    await this.openDatabase();
    const database = `"${this.database.name}"`;
    await this.sql.unsafe(`alter database ${database} set default_transaction_isolation = '${isolation}'`);
    // A deadlock costs its victim this long before anybody notices.
    await this.sql.unsafe(`alter database ${database} set deadlock_timeout = '100ms'`);
    await this.reconnect();
  }

  scale(full: number, small: number): number {
    return this.full ? full : small;
  }

  /** The name of a table that no other test uses. */
  table(): TableName {
    return { url: this.database.url, schema: this.database.schema, table: `race_${this.#tables++}` };
  }

  /** So many processes, as far as the database can tell: stores with connections of their own. */
  async stores(name: TableName, count: number): Promise<[PostgresStore, ...PostgresStore[]]> {
    const open = () => {
      const store = new PostgresStore({ ...name, max: 6, ...this.options });
      onTestFinished(() => store.dispose());
      return store;
    };
    const first = open();
    await first.seed();
    return [first, ...Array.from({ length: count - 1 }, open)];
  }

  async pair(name: TableName): Promise<[PostgresStore, PostgresStore]> {
    const [first, second = first] = await this.stores(name, 2);
    return [first, second];
  }

  shuffle<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, order: this.random(2 ** 31) }))
      .sort((a, b) => a.order - b.order)
      .map(({ item }) => item);
  }

  pick<T>(items: readonly T[]): T {
    // A list that is not empty has an item at every index below its length.
    return items[this.random(items.length)] as T;
  }

  /** A stream, or the whole log, as it lies in the table. */
  async rows(name: TableName, stream?: string): Promise<Row[]> {
    const rows = await this.sql.unsafe(
      `select id, stream, version, name, data from ${lockText(name)}
       where $1::text is null or stream = $1 order by id`,
      [stream ?? null],
    );
    return rows.map(({ id, stream: of, version, name: event, data }) => ({
      id: Number(id),
      stream: of,
      version,
      name: event,
      data,
    }));
  }

  /** The last id that the sequence has handed out; 0 when none. */
  async issued(name: TableName): Promise<number> {
    const [{ sequence } = {}] = await this
      .sql`select pg_get_serial_sequence(${lockText(name)}, 'id') as sequence`;
    const [row] = await this.sql.unsafe(`select last_value, is_called from ${sequence}`);
    return row?.is_called ? Number(row.last_value) : 0;
  }

  /** Deadlocks of this database so far, once every other session has ended and reported its own. */
  async deadlocks(): Promise<number> {
    await until("the other sessions end", async () => {
      const [row] = await this.sql`
        select count(*)::int as others from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`;
      return row?.others === 0;
    });
    // PostgreSQL 14 answers from a file that its collector writes from time to time: from one that is newer than this.
    const [now] = await this.sql`select statement_timestamp()::text as at`;
    const counted = async () => {
      const [row] = await this.sql`
        select deadlocks::int, case when current_setting('server_version_num')::int >= 150000 then true
          else pg_stat_get_snapshot_timestamp() > ${now?.at}::text::timestamptz end as fresh
        from pg_stat_database where datname = current_database()`;
      return row?.fresh === true ? Number(row.deadlocks) : undefined;
    };
    let deadlocks: number | undefined;
    await until("the counts are written", async () => {
      deadlocks = await counted();
      return deadlocks !== undefined;
    });
    return Number(deadlocks);
  }
}

/** The versions of a stream's rows in order of id. */
export const versions = (rows: readonly Row[]) => rows.map(({ version }) => version);

/** first, first + 1, … */
export const dense = (count: number, first = 0) => Array.from({ length: count }, (_, k) => first + k);

export async function idsOf(store: PostgresStore): Promise<number[]> {
  const ids: number[] = [];
  await store.query<Schemas>(({ id }) => ids.push(id));
  return ids;
}
