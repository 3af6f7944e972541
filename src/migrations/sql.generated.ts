// Generated from drizzle/ by "npm run generate". Do not edit.

export const migrations: ReadonlyArray<{
  readonly tag: string;
  /** One statement each, as drizzle-kit separates them. */
  readonly statements: readonly string[];
}> = [
  {
    tag: "0000_store",
    statements: [
      `CREATE TABLE IF NOT EXISTS "events_correlated" (
	"key" text PRIMARY KEY NOT NULL,
	"at" bigint DEFAULT '-1' NOT NULL,
	"leased_by" text,
	"leased_until" timestamp with time zone
);`,
      `CREATE TABLE IF NOT EXISTS "events" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"data" jsonb NOT NULL,
	"stream" text NOT NULL,
	"version" integer NOT NULL,
	"created" timestamp with time zone DEFAULT now() NOT NULL,
	"meta" jsonb NOT NULL,
	"pii" jsonb,
	"dates" jsonb
);`,
      `CREATE TABLE IF NOT EXISTS "events_streams" (
	"stream" text PRIMARY KEY NOT NULL,
	"source" text,
	"at" bigint DEFAULT '-1' NOT NULL,
	"retry" integer DEFAULT '-1' NOT NULL,
	"blocked" boolean DEFAULT false NOT NULL,
	"error" text,
	"leased_by" text,
	"leased_until" timestamp with time zone,
	"priority" integer DEFAULT 0 NOT NULL,
	"lane" text DEFAULT 'default' NOT NULL,
	"deferred_at" timestamp with time zone,
	"correlated_at" bigint
);`,
      `CREATE UNIQUE INDEX IF NOT EXISTS "events_stream_ix" ON "events" USING btree ("stream","version");`,
      `CREATE INDEX IF NOT EXISTS "events_stream_id_ix" ON "events" USING btree ("stream" text_pattern_ops,"id");`,
      `CREATE INDEX IF NOT EXISTS "events_snapshot_ix" ON "events" USING btree ("stream","id") WHERE name = '__snapshot__';`,
      `CREATE INDEX IF NOT EXISTS "events_name_id_ix" ON "events" USING btree ("name","id");`,
      `CREATE INDEX IF NOT EXISTS "events_created_ix" ON "events" USING brin ("created");`,
      `CREATE INDEX IF NOT EXISTS "events_correlation_ix" ON "events" USING btree ((meta ->> 'correlation'));`,
      `CREATE INDEX IF NOT EXISTS "events_streams_order_ix" ON "events_streams" USING btree ("stream" text_pattern_ops);`,
      `CREATE INDEX IF NOT EXISTS "events_streams_at_ix" ON "events_streams" USING btree ("at");`,
      `CREATE INDEX IF NOT EXISTS "events_streams_prio_ix" ON "events_streams" USING btree ("priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority >= '-2147483648'::integer;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_fair_ix" ON "events_streams" USING btree ("at") WHERE not blocked and at < correlated_at and deferred_at is null and at >= '-9223372036854775808'::bigint;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_prio_ix" ON "events_streams" USING btree ("lane","priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority <= 2147483647;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_fair_ix" ON "events_streams" USING btree ("lane","at") WHERE not blocked and at < correlated_at and deferred_at is null and at <= '9223372036854775807'::bigint;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_due_ix" ON "events_streams" USING btree ("deferred_at") WHERE not blocked and at < correlated_at and deferred_at is not null;`,
    ],
  },
  {
    tag: "0001_storage",
    statements: [
      `-- Every claim rewrites its row: room on the page keeps that a HOT update, and frequent, small vacuums keep the table level.
ALTER TABLE "events_streams" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_analyze_scale_factor = 0.05);`,
      `ALTER TABLE "events_correlated" SET (fillfactor = 50);`,
    ],
  },
  {
    tag: "0002_commit_token",
    statements: [
      `ALTER TABLE "events" ADD COLUMN IF NOT EXISTS "token" uuid;`,
    ],
  },
  {
    tag: "0003_read_paths",
    statements: [
      `CREATE INDEX IF NOT EXISTS "events_created_id_ix" ON "events" USING btree ("created","id");`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_due_ix" ON "events_streams" USING btree ("lane","deferred_at") WHERE not blocked and coalesce(at < correlated_at, false) and deferred_at is not null;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_blocked_ix" ON "events_streams" USING btree ("stream" text_pattern_ops) WHERE blocked;`,
    ],
  },
  {
    tag: "0004_skipped",
    statements: [
      `ALTER TABLE "events_streams" ADD COLUMN IF NOT EXISTS "skipped" jsonb;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_skipped_ix" ON "events_streams" USING btree ("stream" text_pattern_ops) WHERE skipped IS NOT NULL;`,
    ],
  },
];
