CREATE TABLE "act_orders"."act_positions" (
	"projection" text NOT NULL,
	"target" text NOT NULL,
	"at" bigint DEFAULT '-1' NOT NULL,
	"handlers" text[],
	"generation" integer DEFAULT 0 NOT NULL,
	"since" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX "act_positions_target_ix" ON "act_orders"."act_positions" USING btree ("projection","target");