/**
 * A group whose connection was lost after it was sent: was it committed? Under the append lock the old
 * transaction has ended, and the log itself is asked for rows that it wrote, by its transaction id. (Not
 * pg_xact_status: on a promoted standby another transaction may have the same id.)
 */
import { joinJson, numberArray, splitJson, textArray } from "../codec/arrays.ts";
import type { Query, Row } from "../connections/index.ts";
import type { Names } from "../names.ts";
import type { Append, Appended, Outcome } from "./append.ts";

/** Rows of the lost transaction among the group's streams, and the heads of those streams now. */
export function recoverQuery(names: Names, appends: readonly Append[], xid: string): Query {
  const text = `select s.stream,
    coalesce((select e.version from ${names.events} e where e.stream = s.stream order by e.version desc limit 1), -1) as head,
    (select array_agg(e.id order by e.id)::text from ${names.events} e where e.stream = s.stream and e.xmin::text::bigint = $2::bigint & 4294967295) as ids,
    (select min(e.version) from ${names.events} e where e.stream = s.stream and e.xmin::text::bigint = $2::bigint & 4294967295) as first,
    (select max(extract(epoch from e.created) * 1000)::float8 from ${names.events} e where e.stream = s.stream and e.xmin::text::bigint = $2::bigint & 4294967295) as created
  from unnest($1::text[]) as s(stream)`;
  return { text, params: [textArray([...new Set(appends.map((a) => a.stream))]), xid] };
}

/** The outcomes, if the transaction left rows; undefined if it left none, so that the group may run again. */
export function readRecovered(appends: readonly Append[], rows: readonly Row[]): Appended | undefined {
  const streams = new Map(
    rows.map((row) => {
      const ids = typeof row.ids === "string" ? row.ids.slice(1, -1).split(",").map(Number) : [];
      const head = ids.length > 0 ? Number(row.first) - 1 : Number(row.head);
      return [row.stream, { ids, head, created: Number(row.created ?? 0) }];
    }),
  );
  const written = [...streams.values()].filter((s) => s.ids.length > 0);
  if (written.length === 0) return undefined;
  const outcomes = appends.map(({ stream, expected, events }): Outcome => {
    const state = streams.get(stream) ?? { ids: [], head: -1, created: 0 };
    const head = state.head;
    const landed = state.ids.length >= events.length && (expected === null || expected === head);
    const ids = landed ? state.ids.splice(0, events.length) : [];
    if (landed) state.head += events.length;
    return { landed, head, ids };
  });
  return { created: new Date(Math.max(...written.map((s) => s.created))), outcomes };
}

/** What is certain about a commit whose transaction's id never arrived, once that transaction has ended. */
export type Fate = "absent" | "unknown" | { readonly head: number };

/**
 * For each guarded commit: the head of its stream, and whether the event at its place is the same as its
 * first. Without the transaction's id an equal event could be anybody's.
 */
export function fateQuery(names: Names, appends: readonly Append[]): Query {
  const text = `select c.ord::int as ord,
    coalesce((select e.version from ${names.events} e where e.stream = c.stream order by e.version desc limit 1), -1) as head,
    exists (select from ${names.events} e where e.stream = c.stream and e.version = c.expected + 1
      and e.name = c.name and e.data = c.data::jsonb and e.meta = c.meta::jsonb) as same
  from unnest($1::text[], $2::int[], $3::text[], ${splitJson("$4")}, ${splitJson("$5")})
    with ordinality as c(stream, expected, name, data, meta, ord)
  order by c.ord`;
  return {
    text,
    params: [
      textArray(appends.map((a) => a.stream)),
      numberArray(appends.map((a) => a.expected)),
      textArray(appends.map((a) => a.events[0]?.name ?? "")),
      joinJson(appends.map((a) => a.events[0]?.data ?? "null")),
      joinJson(appends.map((a) => a.meta)),
    ],
  };
}

/** `absent`: not written, may be tried again. A head: another writer's event stands where it wanted to be. */
export function readFates(appends: readonly Append[], rows: readonly Row[]): Fate[] {
  return appends.map(({ expected }, i): Fate => {
    const row = rows[i];
    if (expected === null || !row) return "unknown";
    const head = Number(row.head);
    if (head <= expected) return "absent";
    return row.same === true ? "unknown" : { head };
  });
}
