/** Stores behind a tap, over tables that plain SQL has filled; statistics old or new. */
import { afterAll, beforeAll } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { DatabaseFixture } from "../postgres/fixture.ts";
import { connect, serverUrl } from "../support/database.ts";
import { type Cost, costOf } from "./cost.ts";
import { PlanTap, reportPlans } from "./tap.ts";

/** The server weighs a generic plan from the sixth execution on. */
const RUNS = 8;

export class Plans extends DatabaseFixture {
  #tap: PlanTap | undefined;
  readonly #tapped: PostgresStore[] = [];

  override async open(): Promise<void> {
    await super.open();
    await reportPlans(this.sql, this.database.name);
    const { host, port } = this.parts;
    this.#tap = await PlanTap.before({ host, port });
  }

  override async close(): Promise<void> {
    await Promise.all(this.#tapped.map((store) => store.dispose()));
    await this.#tap?.close();
    await super.close();
  }

  get tap(): PlanTap {
    if (!this.#tap) throw new Error("The tap is opened before the first test");
    return this.#tap;
  }

  /**
   * A seeded store whose statements go through the tap, one connection for appends and one for the rest. The
   * statistics of its tables are as `before` leaves them; nobody refreshes them until {@link analyze}.
   */
  async filled(table: string, before: readonly string[], fill: readonly string[]): Promise<PostgresStore> {
    const options = { ...this.parts, table, max: 2 };
    const seeding = new PostgresStore(options);
    await seeding.seed();
    await seeding.dispose();
    for (const name of [table, `${table}_streams`])
      await this.sql.unsafe(`alter table ${this.named(name)} set (autovacuum_enabled = false)`);
    for (const statement of before) await this.sql.unsafe(statement);
    await this.sql.unsafe(`analyze ${this.named(table)}, ${this.named(`${table}_streams`)}`);
    await this.#withoutIndexes(table, fill);
    // It has not connected before: a connection for appends that opens while indexes are missing looks for heads by version.
    const store = new PostgresStore({ ...options, host: "127.0.0.1", port: this.tap.port });
    this.#tapped.push(store);
    return store;
  }

  /** Rows first, indexes after: a third of the time. */
  async #withoutIndexes(table: string, fill: readonly string[]): Promise<void> {
    const { schema } = this.database;
    const indexes = await this.sql<{ name: string; definition: string }[]>`
      select indexname as name, indexdef as definition from pg_indexes
      where schemaname = ${schema} and tablename in ${this.sql([table, `${table}_streams`])}
        and indexname not like '%pkey'`;
    for (const { name } of indexes) await this.sql.unsafe(`drop index ${this.named(name)}`);
    await this.sql.unsafe("set maintenance_work_mem = '256MB'");
    for (const statement of fill) await this.sql.unsafe(statement);
    for (const { definition } of indexes) await this.sql.unsafe(definition);
  }

  named(table: string): string {
    return `"${this.database.schema}"."${table}"`;
  }

  /** As autovacuum does when it gets to it. */
  async analyze({ config: { table } }: PostgresStore): Promise<void> {
    for (const name of [table, `${table}_streams`])
      await this.sql.unsafe(`vacuum (analyze) ${this.named(name)}`);
  }

  /** As after a bulk load or a restore, before autovacuum gets to it, or where it is off. For superusers only. */
  async forget({ config: { table } }: PostgresStore): Promise<void> {
    for (const name of [table, `${table}_streams`]) {
      const relations = await this.sql<{ oid: number }[]>`
        select indexrelid::int as oid from pg_index where indrelid = ${this.named(name)}::regclass
        union all select ${this.named(name)}::regclass::oid::int`;
      const oids = relations.map(({ oid }) => oid);
      await this.sql`delete from pg_statistic where starelid = any(${oids}::oid[])`;
      await this
        .sql`update pg_class set reltuples = -1, relpages = 0, relallvisible = 0 where oid = any(${oids}::oid[])`;
    }
  }

  /** Statistics `old`: as the table was when it was small; `none`; or `new`. In this order. */
  async have(statistics: "old" | "none" | "new", store: PostgresStore): Promise<void> {
    if (statistics === "none") await this.forget(store);
    if (statistics === "new") await this.analyze(store);
  }

  /** What the statements of `run` cost that touch the store's tables. */
  async costsOf({ config: { table } }: PostgresStore, run: () => Promise<unknown>): Promise<Cost[]> {
    const plans = await this.tap.plansOf(run);
    const own = plans.filter((plan) => plan["Query Text"].includes(`"${table}`));
    return own.map((plan) => costOf(plan, table)).filter(({ pages }) => pages > 0);
  }

  /** The same, as often as {@link RUNS} says. */
  async costs(store: PostgresStore, run: (n: number) => Promise<unknown>): Promise<Cost[]> {
    const costs: Cost[] = [];
    for (let n = 0; n < RUNS; n++) costs.push(...(await this.costsOf(store, () => run(n))));
    return costs;
  }
}

/** auto_explain is loaded by superusers only. */
export async function mayExplain(): Promise<boolean> {
  const sql = connect(serverUrl());
  try {
    const [row] = await sql`select rolsuper as may from pg_roles where rolname = current_user`;
    return row?.may === true;
  } finally {
    await sql.end();
  }
}

export function usePlans(): Plans {
  const plans = new Plans();
  beforeAll(() => plans.open());
  afterAll(() => plans.close());
  return plans;
}
