CREATE SCHEMA IF NOT EXISTS "act_orders";
--> statement-breakpoint
CREATE TABLE "act_orders"."order_lines" (
	"stream" text NOT NULL,
	"line" integer NOT NULL,
	"sku" text NOT NULL,
	"quantity" integer NOT NULL,
	"price" bigint NOT NULL,
	CONSTRAINT "order_lines_stream_line_pk" PRIMARY KEY("stream","line")
);
--> statement-breakpoint
CREATE TABLE "act_orders"."orders" (
	"stream" text PRIMARY KEY NOT NULL,
	"customer" text NOT NULL,
	"status" text NOT NULL,
	"total" bigint NOT NULL,
	"paid" bigint NOT NULL,
	"placed" timestamp with time zone NOT NULL,
	"due" timestamp with time zone,
	"version" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "act_orders"."order_lines" ADD CONSTRAINT "order_lines_stream_orders_stream_fk" FOREIGN KEY ("stream") REFERENCES "act_orders"."orders"("stream") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "orders_customer_ix" ON "act_orders"."orders" USING btree ("customer","placed");--> statement-breakpoint
CREATE INDEX "orders_status_ix" ON "act_orders"."orders" USING btree ("status","placed");