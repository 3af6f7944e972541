/**
 * The tables of every release of act-pg from June 2025 to August 2026, each as its changes from the one before, and the
 * way from one to a later one. Names are those of table `@`.
 */
import type postgres from "postgres";
import type { TableName } from "../order/lock.ts";
import { tablesOf } from "./fixture.ts";

/** By name; null takes it away. */
type Parts = Readonly<Record<string, string | null>>;
type Part = "events" | "streams" | "correlated";
type Changes = Partial<Record<Part | "indexes", Parts>>;

const MINUS_ONE = "default '-1'::int";

/** The first and last day of a layout, and what came with it. */
const history: ReadonlyArray<readonly [dates: string, changes: Changes]> = [
  [
    "2025-06-25 – 06-30",
    {
      events: {
        id: "int not null default nextval(@)",
        name: "varchar(100) not null",
        data: "jsonb",
        stream: "varchar(100) not null",
        version: "int not null",
        created: "timestamptz not null default now()",
        meta: "jsonb",
      },
      streams: {
        stream: "varchar(100) not null",
        at: `int not null ${MINUS_ONE}`,
        retry: "smallint not null default 0",
        blocked: "boolean not null default false",
        leased_at: "int",
        leased_by: "uuid",
        leased_until: "timestamptz",
      },
      indexes: {
        stream_ix: "unique events (stream, version)",
        name_ix: "events (name)",
        created_id_ix: "events (created, id)",
        correlation_ix: "events ((meta ->> 'correlation'))",
        streams_fetch_ix: "streams (blocked, at)",
      },
    },
  ],
  ["2025-07-23", { streams: { source: "varchar(100)", error: "text" } }],
  ["2025-07-25 – 08-17", { streams: { leased_by: "text" } }],
  ["2026-04-09", { streams: { leased_at: null } }],
  [
    "2026-05-10",
    {
      streams: { priority: "int not null default 0" },
      indexes: { streams_claim_ix: "streams (blocked, priority desc, at)", streams_fetch_ix: null },
    },
  ],
  [
    "2026-05-19",
    { streams: { lane: "text not null default 'default'" }, indexes: { streams_lane_ix: "streams (lane)" } },
  ],
  ["2026-06-07", { events: { pii: "jsonb" } }],
  ["2026-06-20", { streams: { retry: `smallint not null ${MINUS_ONE}` } }],
  ["2026-06-27", { indexes: { snapshot_ix: "events (stream, id) where name = '__snapshot__'" } }],
  ["2026-06-29 – 07-11", { streams: { deferred_at: "timestamptz" } }],
  ["2026-07-10 – 07-11", { streams: { retry: `int not null ${MINUS_ONE}` } }],
  [
    "2026-08-08 – 08-09",
    {
      events: { name: "text not null", stream: "text not null" },
      streams: { stream: "text not null", source: "text" },
    },
  ],
  ["2026-08-08, wide ids", { events: { id: "bigint not null default nextval(@)" } }],
  [
    "2026-08-09",
    {
      events: { id: "int not null default nextval(@)" },
      indexes: { stream_id_ix: "events (stream, id) where name <> '__snapshot__'" },
    },
  ],
  ["2026-08-15", { correlated: { id: "int not null default 0", at: `bigint not null ${MINUS_ONE}` } }],
  [
    "2026-08-16 – 08-18",
    {
      correlated: { at: `int not null ${MINUS_ONE}` },
      streams: { correlated_at: "int" },
      indexes: {
        streams_correlated_at_ix:
          "streams (lane, priority desc, at) where blocked = false and at < correlated_at",
      },
    },
  ],
  ["2026-08-20", { indexes: { streams_at_ix: "streams (at) where blocked = false and at < correlated_at" } }],
  [
    "2026-08-22",
    {
      correlated: { key: "text not null", leased_by: "text", leased_until: "timestamptz", id: null },
    },
  ],
];

export type HistoricLayout = {
  readonly title: string;
  readonly tables: Readonly<Record<Part, Readonly<Record<string, string>>>>;
  readonly indexes: Readonly<Record<string, string>>;
};

function merge(before: Readonly<Record<string, string>>, changes: Parts = {}): Record<string, string> {
  const after: Record<string, string> = { ...before };
  for (const [name, definition] of Object.entries(changes))
    if (definition === null) delete after[name];
    else after[name] = definition;
  return after;
}

export const historicLayouts: readonly HistoricLayout[] = history.reduce<HistoricLayout[]>(
  (all, [title, { indexes, ...changes }]) => {
    const last = all.at(-1) ?? { tables: { events: {}, streams: {}, correlated: {} }, indexes: {} };
    const { events, streams, correlated } = last.tables;
    const tables = {
      events: merge(events, changes.events),
      streams: merge(streams, changes.streams),
      correlated: merge(correlated, changes.correlated),
    };
    all.push({ title, tables, indexes: merge(last.indexes, indexes) });
    return all;
  },
  [],
);

export const EVENTS = 60;
export const CHECKPOINT = 41;
const KEYS = { events: "id", streams: "stream" } as const;

/** The tables of a release, with 60 events of six streams, ten subscriptions and a checkpoint. */
export async function createHistoric(
  sql: postgres.Sql,
  name: TableName,
  layout: HistoricLayout,
): Promise<void> {
  const of = tablesOf(name);
  const sequence = `"${name.schema}"."${name.table}_id_seq"`;
  const { tables } = layout;
  const create = (part: Part, key: string) => {
    const columns = Object.entries(tables[part]).map(([column, type]) => `${column} ${type}`);
    return `create table ${of[part]} (${columns.join(", ").replace("@", `'${sequence}'`)}, primary key (${key}))`;
  };
  const has = (column: string) => column in tables.streams;
  const statements = [
    `create sequence ${sequence} as ${tables.events.id?.startsWith("bigint") ? "bigint" : "int"}`,
    create("events", KEYS.events),
    `alter sequence ${sequence} owned by ${of.events}.id`,
    create("streams", KEYS.streams),
    ...createIndexes(name, layout),
    `insert into ${of.events} (name, data, stream, version, created, meta)
      select case when k % 9 = 0 then '__snapshot__' else 'Kept' end, jsonb_build_object('k', k), 's-' || k % 6, (k - 1) / 6,
        to_timestamp(1.7e9 + k), jsonb_build_object('correlation', 'c-' || k, 'causation', '{}'::jsonb)
      from generate_series(1, ${EVENTS}) k order by k`,
    `insert into ${of.streams} (stream, at, blocked${has("source") ? ", source" : ""})
      select 't-' || k, k * 6, k = 3${has("source") ? ", 's-' || k % 6" : ""} from generate_series(0, 9) k`,
    has("correlated_at") ? `update ${of.streams} set correlated_at = 54 where stream <> 't-9'` : "",
    ...createCheckpoint(name, layout),
  ];
  for (const statement of statements) if (statement) await sql.unsafe(statement);
}

function createCheckpoint(name: TableName, { tables: { correlated } }: HistoricLayout): string[] {
  if (Object.keys(correlated).length === 0) return [];
  const table = tablesOf(name).correlated;
  const key = "key" in correlated ? "key" : "id";
  const columns = Object.entries(correlated).map(([column, type]) => `${column} ${type}`);
  return [
    `create table ${table} (${columns.join(", ")}, primary key (${key}))`,
    `insert into ${table} (${key}, at) values (${key === "key" ? "''" : "0"}, ${CHECKPOINT})`,
  ];
}

function createIndexes(name: TableName, { indexes }: HistoricLayout): string[] {
  const of = tablesOf(name);
  return Object.entries(indexes).map(([suffix, definition]) => {
    const [, unique = "", part = "", rest = ""] = /^(unique )?(\w+) (.*)$/.exec(definition) ?? [];
    const on = part === "events" ? of.events : of.streams;
    return `create ${unique}index if not exists "${name.table}_${suffix}" on ${on} ${rest}`;
  });
}

/** What a release of act-pg does at its boot: it adds what it misses by name, and widens types. */
export async function upgradeHistoric(
  sql: postgres.Sql,
  name: TableName,
  layout: HistoricLayout,
): Promise<void> {
  const of = tablesOf(name);
  const typesOf = async (part: Part) => {
    const rows = await sql`select attname, format_type(atttypid, atttypmod) as type from pg_attribute
      where attrelid = to_regclass(${of[part]}) and attnum > 0 and not attisdropped`;
    return new Map(rows.map(({ attname, type }) => [String(attname), String(type)]));
  };
  for (const part of ["events", "streams"] as const) {
    const found = await typesOf(part);
    for (const [column, definition] of Object.entries(layout.tables[part])) {
      const [type = ""] = definition.split(" ");
      const [, value = "null"] = /default (.*)$/.exec(definition) ?? [];
      const before = found.get(column);
      if (before === undefined)
        await sql.unsafe(`alter table ${of[part]} add column ${column} ${definition}`);
      else if (/^(text|int)$/.test(type) && /^(character|uuid|smallint)/.test(before))
        await sql.unsafe(
          `alter table ${of[part]} alter column ${column} type ${type} using ${column}::${type}`,
        );
      if (column === "retry")
        await sql.unsafe(`alter table ${of[part]} alter column retry set default ${value}`);
    }
  }
  for (const statement of createIndexes(name, layout)) await sql.unsafe(statement);
  const checkpoint = await typesOf("correlated");
  if (checkpoint.size === 0)
    for (const statement of createCheckpoint(name, layout)) await sql.unsafe(statement);
  else if ("key" in layout.tables.correlated && !checkpoint.has("key"))
    await sql.unsafe(`alter table ${of.correlated} add column key text not null default '', add column leased_by text,
      add column leased_until timestamptz, drop column id, alter column at type int;
      alter table ${of.correlated} alter column key drop default, add primary key (key)`);
}
