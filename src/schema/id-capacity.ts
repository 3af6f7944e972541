/** How far ids may still count: to 2³¹ − 1 in tables that act-pg made, else to what a JavaScript number holds. */
import { log } from "@rotorsoft/act";
import type { Database, Row } from "../postgres/index.ts";
import { idSequence } from "./id-sequence.ts";
import { literal, type Names } from "./names.ts";

/** The last id that is read back as the number it is. */
export const LAST_ID = Number.MAX_SAFE_INTEGER;
const LAST_NARROW = 2_147_483_647;
/** From this share of the last id on there is a warning, and again each time half of what was left is used. */
const SHARE = 0.75;

/** Columns `ids` (handed out so far) and `last` (the last there can be); null where the role may not see it. */
export const idCapacityColumns = (names: Names): string => {
  const of = (value: string) => `(select ${value} from pg_sequence s
    join pg_attribute a on a.attrelid = to_regclass(${literal(names.events)}) and a.attname = 'id'
    where s.seqrelid = ${idSequence(names)})`;
  const used = `case when has_sequence_privilege(s.seqrelid, 'usage, select')
    then pg_sequence_last_value(s.seqrelid)::float8 end`;
  const ends = `case a.atttypid when 'int4'::regtype then ${LAST_NARROW} else ${LAST_ID} end`;
  return `${of(used)} as ids, ${of(`least(s.seqmax, ${ends})::float8`)} as last`;
};

/** Warns when the ids run short. The answer: from which id on to look again. */
export function warnOfIdCapacity({ schema, table }: Names, row: Row | undefined): number {
  const { ids, last } = row ?? {};
  if (typeof last !== "number") return Number.POSITIVE_INFINITY;
  if (typeof ids !== "number" || ids < last * SHARE) return last * SHARE;
  const percent = Math.floor((ids / last) * 100);
  const remedy =
    last <= LAST_NARROW
      ? `widen them to bigint: docs/guides/migrating-from-act-pg.md, "Widen the ids"`
      : "restore()";
  log().warn(
    `[act-drizzle] "${schema}"."${table}": ids are at ${ids} of ${last} (${percent} %), then commits fail: ${remedy}`,
  );
  return ids + Math.max(1, Math.floor((last - ids) / 2));
}

/** Below it no table comes near its end: a commit costs one comparison. */
const WATCHED = Math.floor(LAST_NARROW * SHARE);
const nextCheck = new WeakMap<Names, number>();

/** Told of the id of each commit. Looks at the catalog when that has become large, beside the commit. */
export function watchIdCapacity(
  { names, connections }: { readonly names: Names; readonly connections: Pick<Database, "read"> },
  id: number,
): void {
  if (id < WATCHED || id < (nextCheck.get(names) ?? WATCHED)) return;
  nextCheck.set(names, Number.POSITIVE_INFINITY);
  connections.read("commit", { text: `select ${idCapacityColumns(names)}` }).then(
    ([row]) => nextCheck.set(names, warnOfIdCapacity(names, row)),
    // The commit is stored; a later one checks again.
    () => nextCheck.set(names, id + 1),
  );
}
