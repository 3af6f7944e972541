/** Tables as act-pg 0.4.6 makes them, with some history: the oldest layout that a boot has to upgrade. */
import type postgres from "postgres";
import type { TableName } from "../order/lock.ts";

export type Kept = {
  readonly ids: number[];
  readonly positions: { stream: string; at: number; blocked: boolean; error: string }[];
};

export async function createActPg(sql: postgres.Sql, { schema, table }: TableName): Promise<Kept> {
  const [events, streams] = [`"${schema}"."${table}"`, `"${schema}"."${table}_streams"`];
  await sql.unsafe(`
    create table ${events} (
      id serial primary key, name varchar(100) not null, data jsonb,
      stream varchar(100) not null, version int not null,
      created timestamptz not null default now(), meta jsonb
    );
    create unique index ${table}_stream_ix on ${events} (stream, version);
    create index ${table}_name_ix on ${events} (name);
    create index ${table}_created_id_ix on ${events} (created, id);
    create index ${table}_correlation_ix on ${events} ((meta ->> 'correlation'));
    create table ${streams} (
      stream varchar(100) primary key, at int not null default -1, retry smallint not null default 0,
      blocked boolean not null default false, error text,
      leased_at int, leased_by uuid, leased_until timestamptz
    );
    insert into ${events} (name, data, stream, version, meta)
      select 'Kept', jsonb_build_object('k', k), 's-' || k % 10, (k - 1) / 10, '{"correlation": "", "causation": {}}'
      from generate_series(1, 500) as k order by k;
    insert into ${streams} (stream, at, blocked, error)
      select 't-' || k, k * 7, k = 3, case when k = 3 then 'poison' end from generate_series(0, 9) as k`);
  return {
    ids: Array.from({ length: 500 }, (_, k) => k + 1),
    positions: Array.from({ length: 10 }, (_, k) => ({
      stream: `t-${k}`,
      at: k * 7,
      blocked: k === 3,
      error: k === 3 ? "poison" : "",
    })),
  };
}
