/** Refuses tables that have a column of the user's own which no INSERT of the store could fill. */
import type { Names } from "../schema/names.ts";
import type { Catalog } from "./introspect.ts";
import { migrationSteps } from "./migration-steps.ts";

/** @throws because each commit, or each subscription, would fail (23502). */
export function refuseRequired(names: Names, { relations }: Catalog): void {
  const tables = new Map<string, Set<string>>();
  for (const step of migrationSteps(names)) {
    if (step.kind !== "table" && step.kind !== "columns") continue;
    const columns = tables.get(step.name) ?? new Set();
    for (const { name } of step.columns) columns.add(name);
    tables.set(step.name, columns);
  }
  for (const [name, columns] of tables) {
    const foreign = relations.get(name)?.required.filter((column) => !columns.has(column)) ?? [];
    if (foreign.length > 0)
      throw new Error(
        `"${names.schema}"."${name}" has columns that are NOT NULL without a default, and that this store does not fill: ${foreign.map((column) => `"${column}"`).join(", ")}. Give them a default, drop their NOT NULL, or fill them in a BEFORE INSERT trigger. Nothing was changed`,
      );
  }
}
