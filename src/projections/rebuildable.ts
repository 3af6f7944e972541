/** rebuildable(): the definition of a projection for rebuilds, by `act-drizzle rebuild` and by rebuild(). */
import type { PgTable } from "drizzle-orm/pg-core";
import type { Rules } from "../values/rules.ts";
import { checkInput } from "./errors.ts";
import type { EventSchemas, RebuildOptions } from "./rebuild.ts";
import { checkDefinition, DEFINITION_RULES } from "./rebuild-input.ts";
import type { Database } from "./transactions.ts";

/** The options of rebuild() that are the same at every rebuild of a projection. */
export type Rebuildable<
  Db extends Database,
  Events extends EventSchemas,
  Tables extends Readonly<Record<string, PgTable>>,
> = Pick<
  RebuildOptions<Db, Events, Tables>,
  "db" | "projection" | "positions" | "events" | "tables" | "apply" | "meta" | "batchSize"
>;

const RULES: Rules<Rebuildable<Database, EventSchemas, Readonly<Record<string, PgTable>>>> = DEFINITION_RULES;

/** A projection that can be rebuilt, with its database, events and tables of unknown types. */
export type AnyRebuild = Omit<
  RebuildOptions<Database, EventSchemas, Readonly<Record<string, PgTable>>>,
  "store"
>;

/**
 * Checks and returns a projection's definition. Export it from a module that starts nothing:
 * `act-drizzle rebuild --app <module>` then rebuilds the projection, and a program does so by
 * `rebuild({ ...balancesRebuild, store })`.
 *
 * @throws ProjectionError `BAD_INPUT` if an option is invalid.
 */
export function rebuildable<
  Db extends Database,
  Events extends EventSchemas,
  Tables extends Readonly<Record<string, PgTable>>,
>(definition: Rebuildable<Db, Events, Tables>): Rebuildable<Db, Events, Tables> {
  checkInput("rebuildable", definition, RULES);
  checkDefinition("rebuildable", definition);
  return definition;
}
