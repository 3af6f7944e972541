/** The SQL of a store, for a DBA who runs it by hand. */
import { literal, type Names } from "../schema/names.ts";
import { migrationSteps } from "./migration-steps.ts";
import { withRecord } from "./record.ts";

/** Creates everything that seed() would on an empty database, as one transaction. */
export function ddl(names: Names): string {
  const { schema } = names;
  const lines = [
    "begin;",
    ...(schema === "public" ? [] : [`create schema if not exists "${schema}";`]),
    `set local search_path = "${schema}";`,
    ...migrationSteps(names).map(({ sql }) => (sql.endsWith(";") ? sql : `${sql};`)),
    `comment on table ${names.events} is ${literal(withRecord(undefined))};`,
    "commit;",
  ];
  return `${lines.join("\n")}\n`;
}
