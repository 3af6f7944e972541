/**
 * The append of one commit of a few events: the usual one while few commits are in flight. It costs the server less than
 * the INSERT of `append.ts`, which takes any batch: 0.15 ms instead of 0.20 for a commit, if the statement is prepared. Its
 * documents are parameters of their own, which the server parses before it grants the append lock. While one process
 * stores an event of 15 MB, others wait 67 ms instead of 231.
 *
 * Behind a pooler in transaction mode no statement stays prepared, and the server plans the INSERT for each message: 0.74
 * ms for one event and 0.87 for three, where that of `append.ts` takes 1.12. For eight events it takes 1.04 ms, which saves
 * little. So commits of more than {@link MAX_EVENTS} events use the INSERT of `append.ts`. `node bench/unprepared.ts`
 * measures it.
 */
import { raise } from "../errors.ts";
import type { Param, Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import {
  type Append,
  type AppendMode,
  AS_INSERT,
  accepts,
  announceText,
  createdOf,
  datedOf,
  headOf,
  LOWEST_ID,
  nowQuery,
  UNSATISFIABLE_VERSION,
} from "./append.ts";
import { LOWEST_AND_HIGHEST, lastValue, unlessDrawn } from "./ids-drawn.ts";
import type { LatestIds } from "./latest-ids.ts";

/** Events of a commit, at most. */
export const MAX_EVENTS = 4;

const EVENT_PARAMS = 4;
const BEFORE_EVENTS = 6;

/** The bind variables of event `n`, from 0: name, data, pii, paths of Dates. */
const paramsOf = (n: number): readonly [string, string, string, string] => {
  const first = BEFORE_EVENTS + EVENT_PARAMS * n + 1;
  return [`$${first}::text`, `$${first + 1}::jsonb`, `$${first + 2}::jsonb`, `$${first + 3}::jsonb`];
};

/**
 * Appends as the statement of `append.ts` does, and answers in its form.
 *
 * - $1 stream, $2 expected head or null, $3 an event id of the stream, the lower bound of the search for the head, $4 meta,
 *   $5 token, $6 oid of the id sequence
 * - Per event: $7 name, $8 data, $9 pii, $10 paths of Dates; $11 …
 */
export function oneCommitText(
  names: Names,
  { headBy, announce, limit, triggers }: AppendMode,
  by: string,
  size: number,
): string {
  const [name, data, pii, dates] = paramsOf(0);
  const rows = Array.from({ length: size }, (_, n) => `(${paramsOf(n).join(", ")}, ${n + 1})`);
  const isAccepted = `(${accepts("r", "r.head")})`;
  const events =
    size === 1
      ? `select ${name}, ${data}, r.stream, r.head + 1, (${nowQuery(names, "$6")}), $4::jsonb, ${pii}, ${dates}, $5::uuid
  from requested r where ${isAccepted}`
      : `select m.name, m.data, r.stream, r.head + m.nth, (${nowQuery(names, "$6")}), $4::jsonb, m.pii, m.dates,
    case when m.nth = 1 then $5::uuid end
  from requested r cross join (values ${rows.join(", ")}) as m(name, data, pii, dates, nth)
  where ${isAccepted}
  order by m.nth`;
  const accepted = `, accepted as (
  select 1 as ord, r.stream, ${size} as size, r.head from requested r where ${isAccepted}
)`;
  return `with requested as materialized (
  select c.*, ${headOf(names, headBy, "$6")} as head${triggers ? `, ${lastValue("$6")} as last_id` : ""}
  from (select $1::text as stream, $2::int as expected, $3::bigint as low) c
), inserted as (
  insert into ${names.events} (name, data, stream, version, created, meta, pii, dates, token)
  ${events}
  returning id, stream, version, name, created
)${announce ? `${accepted}${announceText(names, by)}` : ""}
select array[r.head]::text as heads, array[${isAccepted}]::text as accepted, i.ids, i.created${size === 1 ? "" : ", i.dated"},
  case when ${isAccepted} and i.stored <> ${size} then ${raise("events_left_out")}${
    triggers ? unlessDrawn(names, "$6", "r.last_id", "i.first", "i.last") : ""
  } end as complete${
    announce ? ", (select count(*) from announced) as announced" : ""
  }${limit === undefined ? "" : `, set_config('statement_timeout', '${limit}', true) as limited`}
from requested r,
  (select array_agg(id order by id)::text as ids${triggers ? LOWEST_AND_HIGHEST : ""}, count(*) as stored, ${createdOf("min(created)")} as created${
    size === 1
      ? ""
      : `,
    case when min(created) < max(created) then ${datedOf()} end as dated`
  } from inserted) i`;
}

export function oneCommitQuery(
  text: string,
  { stream, expected, meta, token, events }: Append,
  sequence: number | null,
  latestIds: Pick<LatestIds, "get">,
): Query {
  const params: Param[] = [stream, expected, latestIds.get(stream) ?? LOWEST_ID, meta, token, sequence];
  for (const { name, data, pii, dates } of events) params.push(name, data, pii, dates);
  return { text, params, ...AS_INSERT };
}

/** The statement with a commit that expects a version which no stream has, to prepare it in advance. It inserts nothing. */
export const emptyInsertOfOne = (text: string, sequence: number | null): Query => ({
  text,
  params: ["", UNSATISFIABLE_VERSION, LOWEST_ID, "{}", null, sequence, "", "{}", null, null],
  bindFirst: true,
});
