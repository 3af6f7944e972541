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
 * standby as the lost one did. A standby that was asked by mistake refuses it.
 *
 * Not found proves little: rows may have been truncated, restored over or, with personal data, forgotten since.
 */
import { joinJson, numberArray, parseNumbers, splitJson, textArray } from "../codec/arrays.ts";
import type { Query, Row } from "../connections/index.ts";
import type { Names } from "../names.ts";
import type { Append, Outcome } from "./append.ts";

/** What was heard of the lost transaction. */
export type Trace = {
  /** Its id; undefined: not even that. */
  readonly xid: string | undefined;
  /** Its events have higher ids than this. */
  readonly after: number;
};

/** Of an event's name, data and meta. Not its pii, which may have been forgotten meanwhile. */
const print = (name: string, data: string, meta: string): string =>
  `encode(sha256(convert_to(jsonb_build_array(${name}, ${data}, ${meta})::text, 'UTF8')), 'hex')`;

const writtenBy = (xid: string): string => `e.xmin::text::bigint = ${xid}::bigint & 4294967295`;

/** Rows of the lost transaction among the group's streams. */
export function recoverQuery(names: Names, appends: readonly Append[], xid: string, after: number): Query {
  const text = `select s.stream, own.* from unnest($1::text[]) as s(stream)
  cross join lateral (
    select array_agg(e.id order by e.id)::text as ids, array_agg(e.version order by e.id)::text as versions,
      array_agg(${print("e.name", "e.data", "e.meta")} order by e.id)::text as prints,
      max(extract(epoch from e.created) * 1000)::float8 as created
    from ${names.events} e where e.stream = s.stream and e.id > $3::bigint and ${writtenBy("$2")}
  ) own`;
  return { text, params: [textArray([...new Set(appends.map((a) => a.stream))]), xid, after] };
}

/** The prints of what was sent, and what the server says of the transaction: NULL if it does not know the id. */
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

/**
 * For each guarded commit: the head of its stream, and what stands in the place of its first event: the same, the
 * seed of a truncated stream, something else that the lost transaction wrote, or anybody's, or nothing. By itself an
 * equal event could be anybody's. `seeded`: the stream has been truncated, perhaps after the commit had landed: always
 * perhaps where nothing but the seed is there, else if the seed is newer than what is known to have been there before.
 */
export function placesQuery(names: Names, appends: readonly Append[], { xid, after }: Trace): Query {
  const seed = "e.version = 0 and e.name in ('__snapshot__', '__tombstone__')";
  const text = `select c.ord::int as ord, h.head,
    exists (select from ${names.events} e
      where e.stream = c.stream and ${seed} and (h.head = 0 or e.id > $7::bigint)) as seeded,
    (select case
        when e.name = c.name and e.data = c.data::jsonb and e.meta = c.meta::jsonb then 'same'
        when ${seed} then 'seed'
        when ${writtenBy("$6::text")} then 'own'
        else 'other' end
      from ${names.events} e where e.stream = c.stream and e.version = c.expected::bigint + 1) as place
  from unnest($1::text[], $2::int[], $3::text[], ${splitJson("$4")}, ${splitJson("$5")})
    with ordinality as c(stream, expected, name, data, meta, ord)
  cross join lateral (select coalesce(
    (select e.version from ${names.events} e where e.stream = c.stream order by e.version desc limit 1), -1) as head) h
  order by c.ord`;
  return {
    text,
    params: [
      textArray(appends.map((a) => a.stream)),
      numberArray(appends.map((a) => a.expected)),
      textArray(appends.map((a) => a.events[0]?.name ?? "")),
      joinJson(appends.map((a) => a.events[0]?.data ?? "null")),
      joinJson(appends.map((a) => a.meta)),
      xid ?? null,
      after,
    ],
  };
}

/** Something to write, so that this transaction's COMMIT waits for whom the lost one's waited. */
const WITNESS: Query = { text: "select pg_logical_emit_message(true, 'act-drizzle', 'recover')::text" };

/** What to ask about a lost group, under the append lock, in one transaction. */
export const investigation = (
  names: Names,
  appends: readonly Append[],
  { xid, after }: Trace,
): readonly Query[] => [
  WITNESS,
  placesQuery(names, appends, { xid, after }),
  ...(xid === undefined ? [] : [recoverQuery(names, appends, xid, after), sentQuery(appends, xid)]),
];

/** A commit that landed, or one that certainly did not and why. */
export type Decided = { readonly outcome: Outcome; readonly created: Date };
/** `absent`: certainly not in the log, and it may be tried again. */
export type Fate = "absent" | "unknown" | Decided;

/** The fate of each commit, from the answers to the {@link investigation}. */
export function readFates(
  appends: readonly Append[],
  [, places = [], rows = [], answer = []]: readonly (readonly Row[])[],
): readonly Fate[] {
  const [sent] = answer;
  // Rolled back, or never heard of here.
  if (sent && sent.status !== "committed") return appends.map(() => "absent");
  const own = sent ? findOwn(appends, rows, textsOf(sent.prints)) : undefined;
  // What the transaction wrote is another commit's of this group, if what was found of it has been matched.
  const others = own?.some((found) => found) ? ["other", "own"] : ["other"];
  return appends.map((append, i) => own?.[i] ?? judge(append, places[i], others, sent !== undefined));
}

const textsOf = (array: unknown): string[] =>
  typeof array === "string" ? array.slice(1, -1).split(",") : [];

/** By what stands in its place. `committed`: its transaction is, so it did not fail for want of a connection. */
function judge(
  { expected }: Append,
  row: Row | undefined,
  others: readonly unknown[],
  committed: boolean,
): Fate {
  if (expected === null || !row) return "unknown";
  const head = Number(row.head);
  if (head > expected)
    return others.includes(row.place)
      ? { outcome: { landed: false, head, ids: [] }, created: new Date(0) }
      : "unknown";
  return committed || row.seeded === true ? "unknown" : "absent";
}

/**
 * Matches the group's commits with the rows of its transaction, both in order; undefined where there are none. A row
 * that is left over was written by another transaction, and then all of them were: undefined altogether.
 */
function findOwn(
  appends: readonly Append[],
  rows: readonly Row[],
  prints: readonly string[],
): readonly (Decided | undefined)[] | undefined {
  const streams = new Map(
    rows.map((row) => [
      row.stream,
      {
        ids: parseNumbers(row.ids),
        versions: parseNumbers(row.versions),
        prints: textsOf(row.prints),
        created: new Date(Number(row.created ?? 0)),
      },
    ]),
  );
  let from = 0;
  const found = appends.map(({ stream, expected, events: { length } }): Decided | undefined => {
    const own = prints.slice(from, from + length);
    from += length;
    const left = streams.get(stream);
    if (!left || left.ids.length < length) return undefined;
    const head = Number(left.versions[0]) - 1;
    if (expected !== null && expected !== head) return undefined;
    if (own.some((print, i) => print !== left.prints[i])) return undefined;
    left.versions.splice(0, length);
    left.prints.splice(0, length);
    return { outcome: { landed: true, head, ids: left.ids.splice(0, length) }, created: left.created };
  });
  const foreign = [...streams.values()].some(({ ids }) => ids.length > 0);
  return foreign ? undefined : found;
}
