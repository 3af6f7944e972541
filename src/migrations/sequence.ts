/** Keeps the sequence of the ids in order: its cache, its maximum, and its position behind the log. */
import type { Run } from "../postgres/index.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { LAST_ID } from "../schema/id-capacity.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import type { Change } from "./change.ts";
import type { SequenceInfo } from "./introspect.ts";

/**
 * A cached sequence would hand out ids out of order to concurrent sessions. Ids beyond 2^53 would be read as other
 * numbers. Only an owner can lower the maximum, and has to do so only once.
 */
export function planSequence(sequence: SequenceInfo | undefined): Change[] {
  if (!sequence) return [];
  const { name, cached, unbounded } = sequence;
  const changes: Change[] = [];
  if (cached) changes.push({ sql: `alter sequence ${name} cache 1`, done: "sequence cache set to 1" });
  if (unbounded) changes.push({ sql: `alter sequence ${name} maxvalue ${LAST_ID}` });
  return changes;
}

/** The sequence's name if it stands behind the log's last id; no row if not, or if the role may not see it. */
const behindText = (
  names: Names,
): string => `select format('%I.%I', n.nspname, c.relname) as name from pg_class c
join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)}
  and has_sequence_privilege(c.oid, 'usage, select')
  and coalesce(pg_sequence_last_value(c.oid), 0) < (select max(id) from ${names.events})`;

/** The name of the ids' sequence if it stands behind the log's last id. */
export async function sequenceBehindLog(run: Run, names: Names): Promise<string | undefined> {
  const [behind] = await run({ text: behindText(names) });
  return behind && String(behind.name);
}

/**
 * A log that was copied, as logical replication does, comes without the sequence's position. New ids would collide
 * with the log's, or appear below ids that readers have seen. The append lock keeps others from drawing an id
 * meanwhile.
 */
export async function advanceSequence(run: Run, names: Names): Promise<string[]> {
  const name = await sequenceBehindLog(run, names);
  if (name === undefined) return [];
  await run({ text: lockQuery(names) });
  const [moved] = await run({
    text: `select setval(${literal(name)}, greatest((select max(id) from ${names.events}), last_value)) as at from ${name}`,
  });
  return [`sequence moved to ${moved?.at}, the log's last id`];
}
