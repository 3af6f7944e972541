/**
 * A group whose connection was lost after it was sent: was it committed? Under the append lock the old
 * transaction has ended, and the log itself is asked for the rows that it wrote.
 *
 * The transaction's id finds them, and their contents prove that they are its own: after a crash or a
 * fail-over another transaction may have been given the same id, if what the first one wrote never reached
 * the disk or the standby.
 *
 * Found is not yet kept. With a synchronous standby, a COMMIT whose backend is ended while it waits has landed
 * on the primary only. So the question itself is a transaction that writes, and its COMMIT waits for the
 * standby as the lost one did.
 */
import { joinJson, numberArray, parseNumbers, splitJson, textArray } from "../codec/arrays.ts";
import type { Query, Row } from "../connections/index.ts";
import type { Names } from "../names.ts";
import type { Append, Appended, Outcome } from "./append.ts";

/** Of an event's name, data and meta. Not its pii, which may have been forgotten meanwhile. */
const print = (name: string, data: string, meta: string): string =>
  `encode(sha256(convert_to(jsonb_build_array(${name}, ${data}, ${meta})::text, 'UTF8')), 'hex')`;

/** Rows of the lost transaction among the group's streams, and the heads of those streams now. */
export function recoverQuery(names: Names, appends: readonly Append[], xid: string): Query {
  const text = `select s.stream, own.*,
    coalesce((select e.version from ${names.events} e where e.stream = s.stream order by e.version desc limit 1), -1) as head
  from unnest($1::text[]) as s(stream)
  cross join lateral (
    select array_agg(e.id order by e.id)::text as ids, min(e.version) as first,
      array_agg(${print("e.name", "e.data", "e.meta")} order by e.id)::text as prints,
      max(extract(epoch from e.created) * 1000)::float8 as created
    from ${names.events} e where e.stream = s.stream and e.xmin::text::bigint = $2::bigint & 4294967295
  ) own`;
  return { text, params: [textArray([...new Set(appends.map((a) => a.stream))]), xid] };
}

/** The same of what was sent, and what the server says of the transaction: NULL if it does not know the id. */
export function sentQuery(appends: readonly Append[], xid: string): Query {
  const events = appends.flatMap((a, i) => a.events.map((event) => ({ ...event, owner: i + 1 })));
  const text = `select array_agg(${print("m.name", "m.data::jsonb", "a.meta::jsonb")} order by m.ord)::text as prints,
    case when $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) then pg_xact_status($1::text::xid8) end as status
  from unnest($2::int[], $3::text[], ${splitJson("$4")}) with ordinality as m(owner, name, data, ord)
  join unnest(${splitJson("$5")}) with ordinality as a(meta, ord) on a.ord = m.owner`;
  return {
    text,
    params: [
      xid,
      numberArray(events.map((e) => e.owner)),
      textArray(events.map((e) => e.name)),
      joinJson(events.map((e) => e.data)),
      joinJson(appends.map((a) => a.meta)),
    ],
  };
}

/** Something to write, so that this transaction's COMMIT waits for whom the lost one's waited. */
const WITNESS: Query = { text: "select pg_logical_emit_message(true, 'act-drizzle', 'recover')::text" };

/** What to ask about a lost group, under the append lock, in one transaction. */
export const investigation = (
  names: Names,
  appends: readonly Append[],
  xid: string | undefined,
): readonly Query[] => {
  const fates = fateQuery(names, appends);
  return xid === undefined
    ? [fates]
    : [fates, recoverQuery(names, appends, xid), sentQuery(appends, xid), WITNESS];
};

/** The group as a whole if its rows were found, else each of its commits by itself. */
export type Verdict =
  | { readonly appended: Appended }
  | { readonly appended?: undefined; readonly fates: readonly Fate[] };

export function readVerdict(
  appends: readonly Append[],
  [fates = [], rows = [], answer = []]: readonly (readonly Row[])[],
): Verdict {
  const [sent] = answer;
  const appended = sent && readRecovered(appends, rows, textsOf(sent.prints));
  if (appended) return { appended };
  // Rolled back, or never heard of here; otherwise it found nothing to write, or others changed what it wrote.
  if (sent && sent.status !== "committed") return { fates: appends.map(() => "absent") };
  return { fates: readFates(appends, fates) };
}

const textsOf = (array: unknown): string[] =>
  typeof array === "string" ? array.slice(1, -1).split(",") : [];

/**
 * The outcomes, if the transaction left its rows; undefined if it left none, or if these are another's.
 * `prints`: of all events of the group, in order.
 */
export function readRecovered(
  appends: readonly Append[],
  rows: readonly Row[],
  prints: readonly string[],
): Appended | undefined {
  const streams = new Map(
    rows.map((row) => {
      const ids = parseNumbers(row.ids);
      const head = ids.length > 0 ? Number(row.first) - 1 : Number(row.head);
      return [row.stream, { ids, prints: textsOf(row.prints), head, created: Number(row.created ?? 0) }];
    }),
  );
  const written = [...streams.values()].filter((s) => s.ids.length > 0);
  if (written.length === 0) return undefined;
  const created = new Date(Math.max(...written.map((s) => s.created)));
  let from = 0;
  let foreign = false;
  const outcomes = appends.map(({ stream, expected, events }): Outcome => {
    const own = prints.slice(from, from + events.length);
    from += events.length;
    const state = streams.get(stream) ?? { ids: [], prints: [], head: -1 };
    const head = state.head;
    const landed = state.ids.length >= events.length && (expected === null || expected === head);
    if (!landed) return { landed, head, ids: [] };
    state.head += events.length;
    const found = state.prints.splice(0, events.length);
    foreign ||= found.some((print, i) => print !== own[i]);
    return { landed, head, ids: state.ids.splice(0, events.length) };
  });
  return foreign || written.some((s) => s.ids.length > 0) ? undefined : { created, outcomes };
}

/** What is certain about a commit whose transaction's rows are not found, once that transaction has ended. */
export type Fate = "absent" | "unknown" | { readonly head: number };

/**
 * For each guarded commit: the head of its stream, and whether the event at its place is the same as its
 * first. By itself an equal event could be anybody's.
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
