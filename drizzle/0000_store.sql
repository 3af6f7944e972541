CREATE TABLE IF NOT EXISTS "events_correlated" (
	"key" text PRIMARY KEY NOT NULL,
	"at" bigint DEFAULT '-1' NOT NULL,
	"leased_by" text,
	"leased_until" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE IF NOT EXISTS "events" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"data" jsonb NOT NULL,
	"stream" text NOT NULL,
	"version" integer NOT NULL,
	"created" timestamp with time zone DEFAULT now() NOT NULL,
	"meta" jsonb NOT NULL,
	"pii" jsonb,
	"dates" jsonb
);
--> statement-breakpoint
CREATE TABLE IF NOT EXISTS "events_streams" (
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
);
--> statement-breakpoint
CREATE UNIQUE INDEX IF NOT EXISTS "events_stream_ix" ON "events" USING btree ("stream","version");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_stream_id_ix" ON "events" USING btree ("stream" text_pattern_ops,"id");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_snapshot_ix" ON "events" USING btree ("stream","id") WHERE name = '__snapshot__';--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_name_id_ix" ON "events" USING btree ("name","id");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_created_ix" ON "events" USING brin ("created");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_correlation_ix" ON "events" USING btree ((meta ->> 'correlation'));--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_order_ix" ON "events_streams" USING btree ("stream" text_pattern_ops);--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_at_ix" ON "events_streams" USING btree ("at");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_prio_ix" ON "events_streams" USING btree ("priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority >= '-2147483648'::integer;--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_fair_ix" ON "events_streams" USING btree ("at") WHERE not blocked and at < correlated_at and deferred_at is null and at >= '-9223372036854775808'::bigint;--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_lane_prio_ix" ON "events_streams" USING btree ("lane","priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority <= 2147483647;--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_lane_fair_ix" ON "events_streams" USING btree ("lane","at") WHERE not blocked and at < correlated_at and deferred_at is null and at <= '9223372036854775807'::bigint;--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "events_streams_due_ix" ON "events_streams" USING btree ("deferred_at") WHERE not blocked and at < correlated_at and deferred_at is not null;