CREATE TABLE "balances" (
	"account" text PRIMARY KEY NOT NULL,
	"owner" text NOT NULL,
	"balance" bigint NOT NULL,
	"version" integer NOT NULL
);
