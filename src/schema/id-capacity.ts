/**
 * Warns before event ids run out: at 2³¹ − 1 in tables that act-pg made, else at the largest safe JavaScript number. The
 * subscriptions and checkpoints hold ids too. They may be narrower than the log: some releases of act-pg, and some users, have
 * widened the log alone. Past 2³¹ − 1 commits then go on, and each ack fails. They are not widened at boot, because act-pg
 * reads a bigint as text (docs/internals/adr/0006-act-pg-tables.md).
 */
import type { Row, StoreConnections } from "../postgres/index.ts";
import { log } from "../values/log.ts";
import { idSequence } from "./id-sequence.ts";
import { literal, type Names } from "./names.ts";
import { tableNames } from "./table-names.ts";

/** The largest id that JavaScript reads exactly: 2⁵³ − 1. */
export const LAST_ID = Number.MAX_SAFE_INTEGER;
const LAST_NARROW = 2_147_483_647;
/** Whether the ids end at 2³¹ − 1 or before: a column that holds them, or their sequence, is then of type integer. */
export const isNarrow = (highest: number): boolean => highest <= LAST_NARROW;
/** The first warning comes at this share of the last id, and another one whenever half of the remaining ids is used. */
const SHARE = 0.75;

/** An SQL expression: whether a column that holds ids is of type integer. The tables may be absent. */
function hasNarrowColumn({ schema, table }: Names): string {
  const { events, streams, correlated } = tableNames(table);
  const columns = [
    [events, "id"],
    [streams, "at"],
    [streams, "correlated_at"],
    [correlated, "at"],
  ].map(([of, column]) => `(to_regclass(${literal(`"${schema}"."${of}"`)}), ${literal(`${column}`)})`);
  return `exists (select 1 from pg_attribute n join (values ${columns.join(", ")}) as held(log, name)
    on n.attrelid = held.log and n.attname = held.name where n.atttypid = 'int4'::regtype)`;
}

/**
 * Columns `ids_used`, the highest id drawn so far, and `highest_possible_id`, the highest that every column of ids can hold.
 * `ids_used` is null if the role may not read the sequence.
 */
export const idCapacityColumns = (names: Names): string => {
  const of = (value: string) =>
    `(select ${value} from pg_sequence s where s.seqrelid = ${idSequence(names)})`;
  const used = `case when has_sequence_privilege(s.seqrelid, 'usage, select')
    then pg_sequence_last_value(s.seqrelid) end`;
  const ends = `case when ${hasNarrowColumn(names)} then ${LAST_NARROW} else ${LAST_ID} end`;
  return `${of(used)} as ids_used, ${of(`least(s.seqmax, ${ends})::bigint`)} as highest_possible_id`;
};

/** Warns if ids run short, and returns the id at which to check again. `row` has the columns of {@link idCapacityColumns}. */
export function warnOfIdCapacity({ schema, table }: Names, row: Row | undefined): number {
  const { ids_used: used, highest_possible_id: highest } = row ?? {};
  if (typeof highest !== "number") return Number.POSITIVE_INFINITY;
  if (typeof used !== "number" || used < highest * SHARE) return highest * SHARE;
  const percent = Math.floor((used / highest) * 100);
  const remedy = isNarrow(highest)
    ? `widen them to bigint: docs/guides/migrating-from-act-pg.md, "Widen the ids"`
    : "restore() the log, which numbers its events from 1 again";
  log().warn(
    `[act-drizzle] "${schema}"."${table}": event ids are at ${used} of ${highest} (${percent} %), after which commits or acks fail: ${remedy}`,
  );
  // Past the end nothing new can be said until the next boot.
  return used < highest ? used + Math.ceil((highest - used) / 2) : Number.POSITIVE_INFINITY;
}

/** Below this id no table runs short, so that a commit costs one comparison. */
const FIRST_CHECK = Math.floor(LAST_NARROW * SHARE);
const nextCheck = new WeakMap<Names, number>();

/** Called with the last id of each commit. Once ids are large, it reads the catalog; the commit does not wait for that. */
export function watchIdCapacity(
  { names, connections }: { readonly names: Names; readonly connections: Pick<StoreConnections, "read"> },
  id: number,
): void {
  if (id < FIRST_CHECK || id < (nextCheck.get(names) ?? FIRST_CHECK)) return;
  nextCheck.set(names, Number.POSITIVE_INFINITY);
  connections.read("commit", { text: `select ${idCapacityColumns(names)}` }).then(
    ([row]) => nextCheck.set(names, warnOfIdCapacity(names, row)),
    // The commit is stored; a later one checks again.
    () => nextCheck.set(names, id + 1),
  );
}
