/** What the docs promise of the tables' types; the compiler checks it, nothing runs against a server. */
import { eq } from "drizzle-orm";
import { pgTable, text } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import { expectTypeOf, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { type ActTables, actTables } from "../../src/schema/tables.ts";

const db = drizzle.mock();
const users = pgTable("users", { name: text("name").notNull() });
const { tables } = new PostgresStore();

test("the tables of any schema and name are ActTables", () => {
  expectTypeOf(actTables()).toExtend<ActTables>();
  expectTypeOf(actTables({ schema: "act", table: "log" })).toExtend<ActTables>();
  expectTypeOf(actTables({ schema: String("public") })).toExtend<ActTables>();
  expectTypeOf(tables).toEqualTypeOf<ActTables>();
});

test("store.tables can be selected from and joined, with the columns' types", () => {
  const { events, streams } = tables;
  const query = db
    .select({ user: users.name, id: events.id, created: events.created, at: streams.at })
    .from(events)
    .innerJoin(streams, eq(streams.stream, events.stream))
    .leftJoin(users, eq(users.name, events.stream));
  type Row = { user: string | null; id: number; created: Date; at: number };
  expectTypeOf<Awaited<typeof query>>().toEqualTypeOf<Row[]>();
});

test("the names are part of the types", () => {
  const { events } = actTables({ schema: "act", table: "log" });
  expectTypeOf<(typeof events)["_"]["schema"]>().toEqualTypeOf<"act">();
  expectTypeOf<(typeof events)["_"]["name"]>().toEqualTypeOf<"log">();
});
