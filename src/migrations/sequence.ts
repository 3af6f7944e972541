/**
 * Keeps the ids in order. Readers ask for events after the last id that they have seen, so they never read an event that
 * gets a lower id later. Ids are in order if they come from a sequence that counts up, gives each session one id at a
 * time, and is not behind the log's last id. A user may change the sequence later, so every boot checks it.
 */
import * as z from "zod";
import type { Run } from "../postgres/index.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { futureColumns } from "../schema/future-events.ts";
import { LAST_ID } from "../schema/id-capacity.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { insertTriggers } from "../schema/insert-triggers.ts";
import { literal, type Names } from "../schema/names.ts";
import { apply, type Change } from "./change.ts";

const sequence = z.object({
  /** Qualified and quoted where needed. */
  name: z.string(),
  /** Whether the role may alter it. */
  owned: z.boolean(),
  /** How many ids a session takes at once. */
  cache: z.number(),
  increment: z.number(),
  /** Whether it has CYCLE, and begins again after its maximum. */
  cycles: z.boolean(),
  /** Whether its maximum is beyond 2^53. */
  unbounded: z.boolean(),
  /** Whether a crash of the server sets it back, but not the log. */
  unlogged: z.boolean(),
  /** Whether its last value is lower than the log's last id. False if the role may not read the sequence. */
  behind: z.boolean(),
});

const facts = z.object({
  /** The sequence that ids are drawn from. Null if they come from elsewhere. */
  sequence: sequence.nullable(),
  /** A trigger that sets the id of new rows, and not from this sequence. */
  trigger: z.string().nullable(),
});

export type SequenceInfo = Readonly<z.infer<typeof sequence>>;
export type IdFacts = Readonly<z.infer<typeof facts>>;

/** Matches a trigger function that assigns to NEW.id: at the beginning of a statement, or in a list after INTO. */
const SETS_ID = String.raw`(^|;|\m(begin|then|else|loop)\M)\s*new\s*\.\s*id\s*:?=|\minto\s+(strict\s+)?([\w.]+\s*,\s*)*new\s*\.\s*id\M`;
/** The source of function `f`, without comments, and without the quotation marks of names. */
const SOURCE = String.raw`regexp_replace(regexp_replace(translate(f.prosrc, '"', ''), '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g')`;

/**
 * Names of triggers that set ids of new events by themselves. One that draws them from the log's sequence may stay. It tells
 * only what a source says plainly; each append compares the ids themselves (events/ids-drawn.ts).
 */
export const idTriggersQuery = (names: Names): string => `select distinct x.name from (
    select t.tgname as name, (select ${SOURCE} from pg_proc f where f.oid = t.tgfoid) as source ${insertTriggers(literal(names.events))}) x
  where x.source ~* ${literal(SETS_ID)}
    and not (x.source ~* '\\mnextval\\M'
      and exists (select 1 from pg_class c where c.oid = ${idSequence(names)} and strpos(x.source, c.relname) > 0))`;

/** One row: `facts`, for {@link toIdFacts}, and the columns for `warnOfFutureEvents`. The events table has to exist. */
export const idFactsQuery = (names: Names): { text: string } => ({
  text: `with found as materialized (
  select c.relname, c.relowner, c.relpersistence, s.seqrelid, s.seqcache, s.seqincrement, s.seqcycle, s.seqmax,
    format('%I.%I', n.nspname, c.relname) as name from pg_sequence s
  join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)}
)
select jsonb_build_object(
  'sequence', (select jsonb_build_object(
      'name', f.name,
      'owned', pg_has_role(f.relowner, 'usage'),
      'cache', f.seqcache,
      'increment', f.seqincrement,
      'cycles', f.seqcycle,
      -- Citus refuses to alter the sequence of a distributed table, and gives it a lower maximum on the coordinator.
      'unbounded', f.seqmax > ${LAST_ID} and not exists (select 1 from pg_extension where extname = 'citus'),
      'unlogged', f.relpersistence = 'u'
        and (select t.relpersistence from pg_class t where t.oid = to_regclass(${literal(names.events)})) <> 'u',
      'behind', case when has_sequence_privilege(f.seqrelid, 'usage, select')
        then coalesce(coalesce(pg_sequence_last_value(f.seqrelid), 0) < (select max(id) from ${names.events}), false)
        else false end)
    from found f),
  'trigger', (select min(d.name) from (${idTriggersQuery(names)}) d)
) as facts, ${futureColumns(names)}`,
});

export const toIdFacts = (row: { readonly facts?: unknown } | undefined): IdFacts => facts.parse(row?.facts);

/** Whether the ids are in order, so that nothing has to be changed or refused. */
export const isInOrder = ({ sequence: found, trigger }: IdFacts): boolean =>
  found !== null &&
  trigger === null &&
  !found.behind &&
  planSequence(found).length === 0 &&
  found.increment > 0;

/**
 * The changes to the sequence's definition. They take a lock that appends wait for. ALTER SEQUENCE also makes other
 * sessions discard the ids that they have taken in advance.
 */
export function planSequence({ name, owned, cache, cycles, unlogged, unbounded }: SequenceInfo): Change[] {
  const changes: Change[] = [];
  const missed = `while it was ${cache}, readers may have missed events: reset() the reactions that must not miss one`;
  if (cache !== 1)
    changes.push({ sql: `alter sequence ${name} cache 1`, done: `sequence cache set to 1; ${missed}` });
  if (cycles) changes.push({ sql: `alter sequence ${name} no cycle`, done: "sequence set to no cycle" });
  if (unlogged) changes.push({ sql: `alter sequence ${name} set logged`, done: "sequence set to logged" });
  // Ids beyond 2^53 would be read as other numbers. Only an owner can lower the maximum.
  if (unbounded && owned) changes.push({ sql: `alter sequence ${name} maxvalue ${LAST_ID}` });
  return changes;
}

/** @throws if seed() cannot or may not put the ids in order. */
function refuse({ schema, table }: Names, { sequence: found, trigger }: IdFacts): void {
  const refused = (reason: string, remedy: string) =>
    new Error(
      `the ids of "${schema}"."${table}" would not be in order, ${reason}: ${remedy}. Nothing was changed`,
    );
  if (trigger !== null)
    throw refused(
      `its trigger "${trigger}" sets them`,
      "drop the trigger, or let it leave id to the sequence of the column's default",
    );
  if (!found)
    throw refused(
      "they do not come from a sequence",
      "make the column's default nextval('…'::regclass), or the column an identity",
    );
  if (found.increment < 0)
    throw refused(
      `the sequence ${found.name} counts down`,
      `alter sequence ${found.name} increment 1 minvalue 1 maxvalue ${LAST_ID}, and call seed() again`,
    );
  const changes = found.owned ? [] : planSequence(found);
  if (changes.length > 0)
    throw refused(
      `and the role may not alter the sequence ${found.name}`,
      `as its owner run: ${changes.map(({ sql }) => sql).join("; ")}`,
    );
}

/**
 * Puts the ids in order, and returns the texts that say what was done. Logical replication copies a log without the position
 * of its sequence: new ids would collide with existing ones, or be lower than ids that readers have seen. The append lock
 * keeps other sessions from drawing an id meanwhile.
 */
export async function mendIdOrder(run: Run, names: Names): Promise<string[]> {
  const read = async () => toIdFacts((await run(idFactsQuery(names)))[0]);
  const before = await read();
  refuse(names, before);
  if (isInOrder(before)) return [];
  await run(lockQuery(names));
  // Another process may have changed the sequence or appended before the lock was granted.
  const { sequence: found } = await read();
  if (!found) return [];
  const done = await apply(run, planSequence(found));
  if (!found.behind) return done;
  const { name } = found;
  const [moved] = await run({
    text: `select setval(${literal(name)}, greatest((select max(id) from ${names.events}), last_value)) as at from ${name}`,
  });
  return [...done, `sequence moved to ${moved?.at}, so that new ids come after the log's last`];
}
