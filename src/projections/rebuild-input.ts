/** What rebuild() and redeliver() refuse before they send anything. */
import { is } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { isRecord } from "../values/json-dates.ts";
import { badInput } from "./errors.ts";
import { checkDatabase, hasColumns } from "./exactly-once.ts";

type Input = {
  readonly db: unknown;
  readonly projection: unknown;
  readonly positions?: unknown;
  readonly tables: unknown;
};

export function checkProjection(verb: string, options: Input): void {
  if (!isRecord(options)) throw badInput(`${verb}: give its options as an object.`);
  const { db, projection, positions, tables } = options;
  checkDatabase(verb, db);
  if (typeof projection !== "string" || projection === "")
    throw badInput(`${verb}: projection must be the name that exactlyOnce got.`);
  if (positions !== undefined && !hasColumns(positions))
    throw badInput(`${verb}: positions must be a table that actPositions() made.`);
  const given: unknown[] = isRecord(tables) ? Object.values(tables) : [];
  if (given.length === 0 || !given.every((table) => is(table, PgTable)))
    throw badInput(`${verb}: tables must be an object of your Drizzle tables, as in tables: { balances }.`);
}

export function checkRebuild(
  options: Input & { readonly store: unknown; readonly events: unknown; readonly apply: unknown },
): void {
  checkProjection("rebuild", options);
  const { store, events, apply } = options;
  if (!isRecord(store) || typeof store.query !== "function" || !isRecord(store.config))
    throw badInput("rebuild: store must be the PostgresStore of the log.");
  if (!isRecord(events) || Object.keys(events).length === 0)
    throw badInput(
      "rebuild: events must be the schemas of the events by name, as .on(…) of the projection gets them.",
    );
  if (typeof apply !== "function")
    throw badInput("rebuild: apply must be a function: async (events, tx, tables) => { … }.");
}
