/**
 * The store's tables as Drizzle tables: the only definition of the schema. `drizzle/` is generated from this file, `seed()`
 * completes a database to match it, and users re-export `actTables()` from their own schema so that drizzle-kit and
 * Drizzle's queries know the tables.
 */
import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  customType,
  index,
  integer,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { checkTableOptions } from "./names.ts";
import { tableIn } from "./table-in.ts";
import { CLAIM_ARMS, type ClaimArm, LANE_SCHEDULE, tableNames } from "./table-names.ts";

/**
 * A jsonb column that is parsed exactly once. Drizzle's own jsonb column parses what the driver has
 * already parsed, so the JSON string "10.5" comes back as a number and "true" as a boolean.
 */
const jsonbOnce = customType<{ data: unknown; driverData: unknown }>({
  dataType: () => "jsonb",
  toDriver: (value) => JSON.stringify(value),
  fromDriver: (value) => value,
});

const timestamptz = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

/** Where the tables are: by default `public.events` and its companions. */
export type ActTablesOptions<Schema extends string = string, Name extends string = string> = {
  /** PostgreSQL schema. Default `public`. */
  readonly schema?: Schema | undefined;
  /** Name of the events table; the others are `<table>_streams` and `<table>_correlated`. Default `events`. */
  readonly table?: Name | undefined;
};

/**
 * The Drizzle tables of one store.
 *
 * - `events`: the log. One row per event; `id` orders the whole log, `(stream, version)` one stream.
 *   `dates` has the paths of the `Date` values in `data`, `meta` and `pii` (null: written by another adapter).
 * - `streams`: one row per subscription: watermark (`at`), work mark (`correlated_at`), lease, priority, lane.
 * - `correlated`: checkpoints and leases of correlators; the row with key `''` holds the maximum of all.
 *
 * @example
 * ```ts
 * // your drizzle schema file
 * import { actTables } from "act-drizzle/schema";
 * export const { events, streams, correlated } = actTables({ table: "act_events" });
 * ```
 */
export function actTables<const Schema extends string = "public", const Name extends string = "events">(
  options: ActTablesOptions<Schema, Name> = {},
) {
  checkTableOptions("actTables", options);
  const { schema = "public", table = "events" } = options;
  // The type parameters keep the names as literal types: db.query finds the tables of a relation by them.
  const named = tableNames(table as Name);
  const create = tableIn<Schema>(schema);

  const events = create(
    named.events,
    {
      id: bigserial("id", { mode: "number" }).primaryKey(),
      name: text("name").notNull(),
      data: jsonbOnce("data").notNull(),
      stream: text("stream").notNull(),
      version: integer("version").notNull(),
      created: timestamptz("created").notNull().defaultNow(),
      meta: jsonbOnce("meta").notNull(),
      pii: jsonbOnce("pii"),
      dates: jsonbOnce("dates"),
      /**
       * The commit token: set on the first event of each commit by this store, null on others and on rows of other
       * adapters.
       */
      token: uuid("token"),
    },
    (t) => [
      // Heads and optimistic concurrency. The name is act-pg's, so an adopted table keeps its index.
      uniqueIndex(`${table}_stream_ix`).on(t.stream, t.version),
      // Loads, drain fetches (stream = $ and id > $), ^prefix ranges and the loose scan of query_stats:
      // text_pattern_ops compares code units whatever the database's collation.
      index(`${table}_stream_id_ix`).on(t.stream.op("text_pattern_ops"), t.id),
      // The latest snapshot of a stream, without walking the events after it.
      index(`${table}_snapshot_ix`).on(t.stream, t.id).where(sql`name = '__snapshot__'`),
      // `names` filters over the whole log, in id order.
      index(`${table}_name_id_ix`).on(t.name, t.id),
      // created_after / created_before (ADR 0015). The name and the columns are act-pg's. The BRIN on `created` is
      // older, and no statement needs it.
      index(`${table}_created_id_ix`).on(t.created, t.id),
      index(`${table}_created_ix`).using("brin", t.created),
      index(`${table}_correlation_ix`).on(sql`(meta ->> 'correlation')`),
    ],
  );

  // The rows that a claim may return, and the leased ones, which are few. Deferred rows are in an index of their own, by
  // time, so that they cost a claim nothing until they are due, however many there are.
  const pending = (arm: ClaimArm) =>
    sql.raw(`not blocked and at < correlated_at and deferred_at is null and ${CLAIM_ARMS[arm]}`);
  const scheduled = (behind = "at < correlated_at") =>
    sql.raw(`not blocked and ${behind} and deferred_at is not null`);

  const streams = create(
    named.streams,
    {
      stream: text("stream").primaryKey(),
      source: text("source"),
      at: bigint("at", { mode: "number" }).notNull().default(sql`'-1'`),
      retry: integer("retry").notNull().default(sql`'-1'`),
      blocked: boolean("blocked").notNull().default(false),
      error: text("error"),
      leased_by: text("leased_by"),
      leased_until: timestamptz("leased_until"),
      priority: integer("priority").notNull().default(0),
      lane: text("lane").notNull().default("default"),
      deferred_at: timestamptz("deferred_at"),
      correlated_at: bigint("correlated_at", { mode: "number" }),
      /** The events that operators skipped: an array of `Skipped` (act-drizzle/admin), the newest last. Null: none. */
      skipped: jsonbOnce("skipped"),
    },
    (t) => [
      // Pages of query_streams and ^prefix filters, in byte order whatever the collation.
      index(`${table}_streams_order_ix`).on(t.stream.op("text_pattern_ops")),
      // subscribe returns max(at), which it reads from the end of this index instead of by a scan.
      index(`${table}_streams_at_ix`).on(t.at),
      // One index per arm of claim: by priority, by age; each with and without a lane.
      index(`${table}_streams_prio_ix`).on(t.priority.desc().nullsFirst(), t.at).where(pending("byPriority")),
      index(`${table}_streams_fair_ix`).on(t.at).where(pending("fair")),
      index(`${table}_streams_lane_prio_ix`)
        .on(t.lane, t.priority.desc().nullsFirst(), t.at)
        .where(pending("laneByPriority")),
      index(`${table}_streams_lane_fair_ix`).on(t.lane, t.at).where(pending("laneFair")),
      index(`${table}_streams_due_ix`).on(t.deferred_at).where(scheduled()),
      index(`${table}_streams_lane_due_ix`).on(t.lane, t.deferred_at).where(scheduled(LANE_SCHEDULE)),
      // Pages of blocked subscriptions, which are few.
      index(`${table}_streams_blocked_ix`).on(t.stream.op("text_pattern_ops")).where(sql`blocked`),
      // Subscriptions with skipped events, which are few. Only skip writes the column, so claims stay HOT updates.
      index(`${table}_streams_skipped_ix`)
        .on(t.stream.op("text_pattern_ops"))
        .where(sql`skipped IS NOT NULL`),
    ],
  );

  const correlated = create(named.correlated, {
    key: text("key").primaryKey(),
    at: bigint("at", { mode: "number" }).notNull().default(sql`'-1'`),
    leased_by: text("leased_by"),
    leased_until: timestamptz("leased_until"),
  });

  return { events, streams, correlated };
}

/** The store's tables as Drizzle tables: `events`, `streams` (the subscriptions) and `correlated` (the checkpoints). */
export type ActTables<Schema extends string = string, Name extends string = string> = ReturnType<
  typeof actTables<Schema, Name>
>;

export const {
  /** The log, under the default name `public.events`. */
  events,
  /** The subscriptions, under the default name `public.events_streams`. */
  streams,
  /** The checkpoints of correlators, under the default name `public.events_correlated`. */
  correlated,
} = actTables();
