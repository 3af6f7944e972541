/**
 * Which releases can work on a store's tables, as recorded by two marks in the events table's comment. A table of our
 * own would be dropped by `drizzle-kit push`.
 *
 * - `[act-drizzle schema N]`: N is the oldest schema version whose release can work on the tables. A release that knows
 *   less refuses to start. Release 0.1.0 (schema 2) reads and writes this mark only, and starts at once if it says 2.
 * - `[act-drizzle migrated M]`: M is the newest schema version that was applied. A release that knows more migrates.
 */
import { migrations } from "./sql.generated.ts";

/** This release's schema version: the number of its migrations. */
export const VERSION = migrations.length;

/**
 * For each migration, the oldest schema version whose release can go on working after the migration. It is at least 2,
 * the version of the first release.
 *
 * Older releases can go on if each of their statements still succeeds and means the same, beside processes of the new
 * release. That holds for a new nullable column, an index or a storage setting. They can't if a column that they use is
 * dropped, renamed or means something else, if a new column is NOT NULL without a default, or if they would break a
 * rule that the new release relies on. The entry is then the migration's own number: all older processes have to be
 * stopped for the upgrade, which cannot be undone. `test/upgrade` verifies the entries.
 */
export const OLDEST_COMPATIBLE: Readonly<Record<string, number>> = {
  "0000_store": 2,
  "0001_storage": 2,
  // Nullable. Older releases name the columns they insert, so their rows have no token, like rows of act-pg.
  "0002_commit_token": 2,
  // Indexes only.
  "0003_read_paths": 2,
  // Nullable, and an index. Older releases name the columns of the subscriptions that they change.
  "0004_skipped": 2,
};

/** The maximum: if one migration excludes older releases, later migrations do not let them back. */
export const OLDEST = Math.max(...Object.values(OLDEST_COMPATIBLE));

export type SchemaRecord = {
  /** The oldest schema version whose release can work on the tables. */
  readonly oldest: number;
  /** The newest schema version that was applied. */
  readonly migrated: number;
};

const OLDEST_MARK = /\[act-drizzle schema (\d+)\]/;
const MIGRATED_MARK = /\[act-drizzle migrated (\d+)\]/;

function numberIn(text: string, mark: RegExp): number | undefined {
  const found = mark.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Reads the record in a table's comment; undefined if there is none. */
export function recordOf(comment: unknown): SchemaRecord | undefined {
  const text = typeof comment === "string" ? comment : "";
  const oldest = numberIn(text, OLDEST_MARK);
  return oldest === undefined ? undefined : { oldest, migrated: numberIn(text, MIGRATED_MARK) ?? oldest };
}

/**
 * What a release of this version does with tables that have this record.
 *
 * - `refuse`: it can't work on them.
 * - `nothing`: they have everything that it needs, and maybe more.
 * - `migrate`: they may lack something.
 */
export function actionFor(
  record: SchemaRecord | undefined,
  version: number = VERSION,
): "refuse" | "nothing" | "migrate" {
  if (record && record.oldest > version) return "refuse";
  return record && record.migrated >= version ? "nothing" : "migrate";
}

/**
 * The comment for tables that this release has just migrated. A user's own text stays. If a newer release had migrated
 * them before, its mark is set back, because objects that this release created may lack the newer release's additions.
 */
export function withRecord(comment: unknown): string {
  const text = typeof comment === "string" ? comment : "";
  const oldest = Math.max(OLDEST, recordOf(text)?.oldest ?? 0);
  const marks = `[act-drizzle schema ${oldest}] [act-drizzle migrated ${VERSION}]`;
  const rest = text.replace(new RegExp(` ?${MIGRATED_MARK.source}`), "");
  return OLDEST_MARK.test(rest) ? rest.replace(OLDEST_MARK, marks) : [rest, marks].filter(Boolean).join(" ");
}
