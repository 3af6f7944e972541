/**
 * Compares the events of two logs by their number and a sum over the text of each. It leaves out events whose change is
 * recorded but was not copied yet. The same statement reads those ids, so the comparison is exact while the log changes.
 */
import type { Query } from "../../postgres/index.ts";
import { numberArray, parseNumbers } from "../../postgres/parameters.ts";
import { LINE } from "../event-lines.ts";
import type { LogSource } from "../export.ts";
import { pendingQuery } from "./changes.ts";

/** Events per statement. They are few, because a short time limit for statements must suffice. */
const PART = 20_000;

const DIGEST = `concat_ws(' ', count(*), sum(('x' || left(md5(${LINE}), 16))::bit(64)::bigint)) as digest`;

/** Whether both logs have the same events for the condition `text`. Its parameters come first. */
async function same(source: LogSource, target: LogSource, { text, params = [] }: Query): Promise<boolean> {
  const [here] = await source.connections.read("move", {
    text: `with pending as materialized (select distinct id from (${pendingQuery(source.names)}) p)
select ${DIGEST}, (select array_agg(id)::text from pending) as pending
from ${source.names.events} e where ${text} and not exists (select from pending p where p.id = e.id)`,
    params,
  });
  const pending = numberArray(parseNumbers(here?.pending));
  const given = typeof params === "function" ? params() : params;
  const [there] = await target.connections.read("move", {
    text: `select ${DIGEST}
from ${target.names.events} e where ${text} and not e.id = any($${given.length + 1}::bigint[])`,
    params: [...given, pending],
  });
  return String(here?.digest) === String(there?.digest);
}

/** Splits `(after, upTo]` into ranges of {@link PART} events; the last may have fewer. $1 the id before a range, $2 rows */
export async function* partsOf(
  { names, connections }: LogSource,
  after: number,
  upTo: number,
): AsyncGenerator<readonly [number, number]> {
  for (let low = after; low < upTo; ) {
    const [row] = await connections.read("move", {
      text: `select max(id) as id from (select id from ${names.events} where id > $1::bigint order by id limit $2::bigint) p`,
      params: [low, PART],
    });
    const high = Math.min(Number(row?.id ?? upTo), upTo);
    yield [low, high];
    low = high;
  }
}

/** Whether the target has the events of the source with ids in `(after, upTo]`. $1, $2 the bounds */
export const sameRange = (
  source: LogSource,
  target: LogSource,
  after: number,
  upTo: number,
): Promise<boolean> =>
  same(source, target, { text: "e.id > $1::bigint and e.id <= $2::bigint", params: [after, upTo] });

/** Whether the events with these ids are the same in both logs. $1 the ids */
export const sameEvents = (source: LogSource, target: LogSource, ids: readonly number[]): Promise<boolean> =>
  same(source, target, { text: "e.id = any($1::bigint[])", params: [numberArray(ids)] });
