/** Tables where Citus keeps them: shards on workers. */
import type postgres from "postgres";
import type { Locate } from "../conformance/kit/postgres-harness.ts";
import { connect } from "../support/database.ts";
import { citusUrl } from "./cluster.ts";

/** Else Citus hides shards, and takes DDL of a worker for DDL of the cluster. */
const SETTINGS = [
  "citus.show_shards_for_app_name_prefixes=*",
  "citus.enable_manual_changes_to_shards=on",
  "citus.enable_ddl_propagation=off",
  "citus.enable_metadata_sync=off",
];

function urlOf(host: string): string {
  const url = new URL(citusUrl());
  url.host = host;
  url.searchParams.set("options", SETTINGS.map((setting) => `-c ${setting}`).join(" "));
  return url.href;
}

/** Connections to the workers of a file, which it ends. */
export class Workers {
  readonly #opened = new Map<string, postgres.Sql>();

  /** The shard of a table in a distributed schema. */
  readonly locate: Locate = async (coordinator, schema, table) => {
    const [shard] = await coordinator`
      select nodename || ':' || nodeport as host, shardid as id from citus_shards
      where table_name = ${`"${schema}"."${table}"`}::text::regclass`;
    if (!shard) throw new Error(`${schema}.${table} is not distributed`);
    const url = urlOf(shard.host);
    const sql = this.#on(url);
    const ended = async () => {
      // A session there names the session that it works for by a global id: that one's node, and its pid of ten digits.
      const working = await sql`
        select substring(application_name from '^citus_internal gpid=([0-9]+)') as id from pg_stat_activity
        where application_name like 'citus_internal gpid=%' and datname = current_database()`;
      const orphans = await coordinator`
        select from unnest(${working.map(({ id }) => id)}::text[]::bigint[]) id
        where id / 10000000000 = citus_coordinator_nodeid()
          and not exists (select from pg_stat_activity where pid = id % 10000000000)`;
      return orphans.length === 0;
    };
    return { sql, url, name: `"${schema}"."${table}_${shard.id}"`, ended };
  };

  async end(): Promise<void> {
    await Promise.all([...this.#opened.values()].map((sql) => sql.end()));
  }

  #on(url: string): postgres.Sql {
    const sql = this.#opened.get(url) ?? connect(url, { max: 2 });
    this.#opened.set(url, sql);
    return sql;
  }
}
