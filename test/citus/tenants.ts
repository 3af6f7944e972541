/** Tenants on a cluster of Citus: a schema each, and where it is. */
import type postgres from "postgres";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { connect } from "../support/database.ts";
import { citusUrl, dropSchema, schemaName, TURN_MS, takeTurn, tenantUrl } from "./cluster.ts";

export const meta = { correlation: "citus", causation: {} };

export type Node = { readonly host: string; readonly port: number };

export class CitusTenants {
  #sql: postgres.Sql | undefined;
  readonly #schemas: string[] = [];

  /** `alone`: no other file uses the cluster meanwhile. */
  open({ alone = false } = {}): void {
    let end = async () => {};
    beforeAll(async () => {
      end = await takeTurn(alone);
      this.#sql = connect(citusUrl(), { max: 4 });
    }, TURN_MS);
    afterAll(async () => {
      for (const schema of this.#schemas) await dropSchema(schema);
      await this.#sql?.end();
      await end();
    });
  }

  /** The coordinator, to look behind the stores' backs. */
  get sql(): postgres.Sql {
    if (!this.#sql) throw new Error("The cluster is opened before the first test");
    return this.#sql;
  }

  /** The name of a schema that the test makes, and that goes with the file. */
  schema(): string {
    const name = schemaName();
    this.#schemas.push(name);
    return name;
  }

  /** A store until the test ends. */
  store(options: PostgresStoreOptions): PostgresStore {
    const store = new PostgresStore({ url: tenantUrl(), ...options });
    onTestFinished(() => store.dispose());
    return store;
  }

  /** A seeded store with a schema of its own. */
  async tenant(options: PostgresStoreOptions = {}): Promise<PostgresStore> {
    const store = this.store({ schema: this.schema(), ...options });
    await store.seed();
    return store;
  }

  /** Two tenants on different workers. */
  async neighbours(options: PostgresStoreOptions = {}): Promise<[PostgresStore, PostgresStore]> {
    const first = await this.tenant(options);
    const { port } = await this.nodeOf(first);
    for (let attempt = 0; attempt < 8; attempt++) {
      const other = await this.tenant(options);
      if ((await this.nodeOf(other)).port !== port) return [first, other];
    }
    throw new Error("all schemas came to one worker: the cluster needs two");
  }

  async workers(): Promise<Node[]> {
    const rows = await this
      .sql`select node_name as host, node_port::int as port from citus_get_active_worker_nodes()`;
    return rows.map(({ host, port }) => ({ host, port }));
  }

  /** The worker that has the schema of a store. */
  async nodeOf({ config: { schema, table } }: PostgresStore): Promise<Node> {
    const [row] = await this.sql`
      select nodename as host, nodeport as port from citus_shards
      where table_name = ${`${schema}.${table}`}::regclass`;
    if (!row) throw new Error(`the schema ${schema} is not distributed`);
    return { host: row.host, port: row.port };
  }

  /** A connection to a node of the cluster, until the test ends. */
  on({ host, port }: Node): postgres.Sql {
    const url = new URL(citusUrl());
    url.host = `${host}:${port}`;
    const sql = connect(url.href);
    onTestFinished(() => sql.end());
    return sql;
  }

  /** The table of a store's log on its worker, quoted. */
  async shardOf({ config: { schema, table } }: PostgresStore): Promise<string> {
    const [row] = await this.sql`
      select shardid from citus_shards where table_name = ${`${schema}.${table}`}::regclass`;
    return `"${schema}"."${table}_${row?.shardid}"`;
  }
}
