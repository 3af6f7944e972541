/** Checks the options of rebuild() and redeliver(), before anything is sent. */
import { is } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { isRecord } from "../values/json-dates.ts";
import { ANY, FLAG } from "../values/rules.ts";
import { badInput } from "./errors.ts";
import { checkDatabase, hasColumns } from "./exactly-once.ts";

/** The most events of a batch. */
const MAX_BATCH_SIZE = 100_000;

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

type Definition = Input & {
  readonly events: unknown;
  readonly apply: unknown;
  readonly batchSize?: unknown;
};

/** The options that are the same at every rebuild of a projection. */
export const DEFINITION_RULES = {
  db: ANY,
  projection: ANY,
  positions: ANY,
  events: ANY,
  tables: ANY,
  apply: ANY,
  meta: FLAG,
  batchSize: ANY,
};

export function checkDefinition(verb: string, options: Definition): void {
  checkProjection(verb, options);
  const { events, apply, batchSize = 1 } = options;
  if (!isRecord(events) || Object.keys(events).length === 0)
    throw badInput(
      `${verb}: events must be the schemas of the events by name, as .on(…) of the projection gets them.`,
    );
  if (typeof apply !== "function")
    throw badInput(`${verb}: apply must be a function: async (events, tx, tables) => { … }.`);
  if (
    typeof batchSize !== "number" ||
    !(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= MAX_BATCH_SIZE)
  )
    throw badInput(`${verb}: batchSize must be a whole number of events from 1 to ${MAX_BATCH_SIZE}.`);
}

export function checkRebuild(options: Definition & { readonly store: unknown }): void {
  checkDefinition("rebuild", options);
  const { store } = options;
  if (!isRecord(store) || typeof store.query !== "function" || !isRecord(store.config))
    throw badInput("rebuild: store must be the PostgresStore of the log.");
}
