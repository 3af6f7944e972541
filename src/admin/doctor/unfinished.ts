/** What a move, a rebuild or a measurement leaves behind if its process is killed. */
import * as z from "zod";
import { CHANGED, INSERTED, recordingName } from "../../backup/move/changes.ts";
import { GUARD, guardFunction } from "../../backup/move/target.ts";
import { BENCH_SCHEMA } from "../../schema/bench-schema.ts";
import { literal, type Names } from "../../schema/names.ts";
import { REBUILD_PROGRESS } from "../../values/rebuild-schema.ts";

/** Names: `recording` the objects that a move made at its source, `filling` at its target; the others are schemas. */
export const unfinished = z.object({
  recording: z.array(z.string()),
  filling: z.array(z.string()),
  rebuilds: z.array(z.string()),
  benches: z.array(z.string()),
});
export type Unfinished = z.infer<typeof unfinished>;

const listOf = (select: string) =>
  `(select coalesce(jsonb_agg(name order by name), '[]') from (${select}) found(name))`;

/** The names of triggers of the log, of a function, and of a table. */
function objectsOf(
  { events }: Names,
  triggers: readonly string[],
  routine: string,
  relation?: string,
): string {
  const named = triggers.map(literal).join(", ");
  return listOf(`select 'trigger ' || t.tgname from pg_trigger t
    where t.tgrelid = to_regclass(${literal(events)}) and t.tgname in (${named})
  union all select ${literal(`function ${routine}()`)} where to_regproc(${literal(routine)}) is not null
  ${relation === undefined ? "" : `union all select ${literal(`table ${relation}`)} where to_regclass(${literal(relation)}) is not null`}`);
}

export const unfinishedText = (names: Names): string => `jsonb_build_object(
  'recording', ${objectsOf(names, [CHANGED, INSERTED], recordingName(names), recordingName(names))},
  'filling', ${objectsOf(names, [GUARD], guardFunction(names))},
  'rebuilds', ${listOf(`select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = ${literal(REBUILD_PROGRESS)} and n.nspname like 'act\\_rebuild\\_%'`)},
  'benches', ${listOf(`select nspname from pg_namespace where starts_with(nspname, ${literal(BENCH_SCHEMA)})`)})`;

type Found = {
  readonly severity: "warning" | "hint";
  readonly found: string;
  readonly remedy: string;
};

/** The remedies contain names. These are the store's own, or were read from the catalog. */
export const moveFindings = (names: Names, { recording, filling }: Unfinished): Found[] => [
  ...(recording.length === 0
    ? []
    : [
        {
          severity: "warning" as const,
          found: `A move of this log to another store is running, or was killed: ${recording.join(", ")}. Each change of an event is recorded.`,
          remedy: `If none is running, repeat move() with \`again: true\`. If it is given up: drop function if exists ${recordingName(names)}() cascade; drop table if exists ${recordingName(names)}.`,
        },
      ]),
  ...(filling.length === 0
    ? []
    : [
        {
          severity: "warning" as const,
          found: `A move is filling this log, or was killed meanwhile: ${filling.join(", ")}. Commits are refused.`,
          remedy: `If none is running, repeat move() from the old store with \`again: true\`. To use this log with only the events that were copied: drop function if exists ${guardFunction(names)}() cascade.`,
        },
      ]),
];

const quoted = (schema: string) => `"${schema.replaceAll('"', '""')}"`;

export const rebuildFindings = ({ rebuilds }: Unfinished): Found[] =>
  rebuilds.map((schema) => ({
    severity: "hint",
    found: `A rebuild of a projection is running, or was stopped: its tables so far are in the schema ${quoted(schema)}.`,
    remedy: `If none is running, run the rebuild again: it goes on. If it is given up: drop schema ${quoted(schema)} cascade.`,
  }));

export const benchFindings = ({ benches }: Unfinished): Found[] =>
  benches.map((schema) => ({
    severity: "hint",
    found: `\`act-drizzle bench\` is running, or was killed: its tables are in the schema ${quoted(schema)}.`,
    remedy: `If it is not running: drop schema ${quoted(schema)} cascade.`,
  }));
