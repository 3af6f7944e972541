/**
 * Tables as act-pg's current release lays them out, in every state that an interrupted or older upgrade leaves
 * behind, with some history in them.
 */
import type postgres from "postgres";
import type { TableName } from "../order/lock.ts";
import { tablesOf } from "./fixture.ts";

/** Columns that came one after the other; an older release's table lacks some. */
export const laterColumns = ["pii", "priority", "lane", "deferred_at", "correlated_at"] as const;
export type LaterColumn = (typeof laterColumns)[number];

export type Layout = {
  readonly missing: readonly LaterColumn[];
  readonly text: "varchar(100)" | "text";
  readonly retry: "smallint not null default 0" | "smallint not null default -1" | "int not null default -1";
  /** One row with an id, one row for each correlator, or no such table. */
  readonly checkpoint: "single" | "keyed" | "none";
  readonly fetchIndex: boolean;
  readonly deferredAt: "timestamptz" | "bigint";
};

/** act-pg's current layout. */
export const CURRENT_LAYOUT: Layout = {
  missing: [],
  text: "text",
  retry: "int not null default -1",
  checkpoint: "keyed",
  fetchIndex: true,
  deferredAt: "timestamptz",
};

export const EVENTS = 60;
export const CHECKPOINT = 41;

/** All combinations of missing columns; what else differs changes along, so that each value meets the others. */
export function layouts(): Layout[] {
  const pick = <T>(values: readonly T[], k: number): T => values[k % values.length] as T;
  return Array.from({ length: 2 ** laterColumns.length }, (_, k) => ({
    missing: laterColumns.filter((_, bit) => (k >> bit) & 1),
    text: pick(["varchar(100)", "text"], k ^ (k >> 2)),
    retry: pick(
      ["smallint not null default 0", "smallint not null default -1", "int not null default -1"],
      k,
    ),
    checkpoint: pick(["keyed", "single", "none"], Math.floor(k / 3) + k),
    fetchIndex: pick([true, false], k >> 1),
    deferredAt: pick(["timestamptz", "timestamptz", "bigint"], k >> 1),
  }));
}

export const titleOf = ({ missing, text, retry, checkpoint, fetchIndex, deferredAt }: Layout): string =>
  [
    missing.length > 0 ? `without ${missing.join(", ")}` : "complete",
    text,
    `retry ${retry.replace(" not null", "")}`,
    `checkpoint ${checkpoint}`,
    ...(fetchIndex ? ["fetch_ix"] : []),
    ...(deferredAt === "bigint" && !missing.includes("deferred_at") ? ["deferred_at in ms"] : []),
  ].join(", ");

/** 60 events of six streams, ten subscriptions in every state, and the checkpoint. */
export async function createLayout(sql: postgres.Sql, name: TableName, layout: Layout): Promise<void> {
  const { events, streams, correlated } = tablesOf(name);
  const { text, retry, deferredAt } = layout;
  const has = (column: LaterColumn) => !layout.missing.includes(column);
  const column = (later: LaterColumn, definition: string) => (has(later) ? `, ${later} ${definition}` : "");
  const index = (suffix: string) => `"${name.table}_${suffix}"`;

  const statements = [
    `create table ${events} (id serial primary key, name ${text} not null, data jsonb, stream ${text} not null,
      version int not null, created timestamptz not null default now(), meta jsonb${column("pii", "jsonb")})`,
    `create unique index ${index("stream_ix")} on ${events} (stream, version)`,
    `create index ${index("name_ix")} on ${events} (name)`,
    `create index ${index("created_id_ix")} on ${events} (created, id)`,
    `create index ${index("correlation_ix")} on ${events} ((meta ->> 'correlation'))`,
    `create table ${streams} (stream ${text} primary key, source ${text}, at int not null default -1, retry ${retry},
      blocked boolean not null default false, error text, leased_by text, leased_until timestamptz
      ${column("priority", "int not null default 0")}${column("lane", `${text} not null default 'default'`)}
      ${column("deferred_at", deferredAt)}${column("correlated_at", "int")})`,
    layout.fetchIndex ? `create index ${index("streams_fetch_ix")} on ${streams} (blocked, at)` : "",
    checkpointTable(correlated, layout.checkpoint),
    `insert into ${events} (name, data, stream, version, created, meta${has("pii") ? ", pii" : ""})
      select case when k % 20 = 0 then '__snapshot__' else 'Kept' end,
        jsonb_build_object('k', k, 'at', to_json(to_timestamp(1.7e9 + k))), 's-' || k % 6, (k - 1) / 6, to_timestamp(1.7e9 + k + 0.123456),
        jsonb_build_object('correlation', 'c-' || k, 'causation', '{}'::jsonb)
        ${has("pii") ? `, case when k % 5 = 0 then '{"mail": "a@b.c"}'::jsonb end` : ""}
      from generate_series(1, ${EVENTS}) as k order by k`,
    `insert into ${streams} (stream, source, at, retry, blocked, error, leased_by, leased_until)
      select 't-' || k, case when k % 2 = 0 then 's-' || k % 6 end, k * 6, case k when 3 then 2 when 4 then 0 else -1 end,
        k = 3, case when k = 3 then 'poison' end, case when k = 7 then 'somebody' end, case when k = 7 then now() + interval '1 hour' end
      from generate_series(0, 9) as k`,
    has("priority") ? `update ${streams} set priority = 5 where stream in ('t-1', 't-8')` : "",
    has("lane") ? `update ${streams} set lane = 'slow' where stream in ('t-2', 't-8')` : "",
    has("deferred_at")
      ? `update ${streams} set deferred_at = ${deferredAt === "bigint" ? "4102444800123" : "to_timestamp(4102444800.123)"} where stream = 't-5'`
      : "",
    // t-9 was subscribed and has no mark yet.
    has("correlated_at") ? `update ${streams} set correlated_at = 54 where stream <> 't-9'` : "",
  ];
  for (const statement of statements) if (statement) await sql.unsafe(statement);
}

function checkpointTable(correlated: string, kind: Layout["checkpoint"]): string {
  if (kind === "none") return "";
  if (kind === "single")
    return `create table ${correlated} (id int primary key default 1 check (id = 1), at int not null default -1);
      insert into ${correlated} (id, at) values (1, ${CHECKPOINT})`;
  return `create table ${correlated} (key text primary key, at int not null default -1, leased_by text, leased_until timestamptz);
    insert into ${correlated} (key, at, leased_by, leased_until)
    values ('', ${CHECKPOINT}, null, null), ('app', 30, 'somebody', now() + interval '1 hour')`;
}
