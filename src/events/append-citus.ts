/**
 * The append on Citus. There, a CTE that feeds an INSERT is sent to every worker, and each worker takes part in the
 * transaction: one worker that is down would stop the appends of all tenants. So the append is two statements without
 * such a CTE: an INSERT, which accepts commits as the one of `append.ts` does, and a SELECT of the stored events. The
 * node that has the log reads and writes it; the coordinator does the rest. No other worker takes part. The ids come
 * from the coordinator's sequence.
 */
import { splitJson } from "../postgres/parameters.ts";
import { onCoordinator } from "../schema/citus.ts";
import { millisOf } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { type AppendMode, accepts, announceText, headOf, nowQuery, splitExpected } from "./append.ts";

export type CitusTexts = { readonly insert: string; readonly stored: string };

/**
 * Takes the parameters of the INSERT in `append.ts`. No stream occurs twice.
 *
 * The statement has RETURNING because of a fault of Citus: without it, Citus sends the rows by COPY on a connection that it
 * takes for read-only, and acknowledges COMMIT even if the log's node has failed to commit. Acknowledged events were lost
 * (13.2, `test/citus/recovery.test.ts`).
 */
const insertText = (names: Names, headBy: AppendMode["headBy"]): string => `insert into ${names.events}
  (name, data, stream, version, created, meta, pii, dates, token)
select m.name, m.data::jsonb, a.stream, a.head + m.nth, clock.created, a.meta::jsonb, m.pii::jsonb, m.dates::jsonb,
  case when m.nth = 1 then a.token end
from unnest($7::int[], $8::int[], $9::text[], ${splitJson("$10")}, ${splitJson("$11")}, ${splitJson("$12")})
  with ordinality as m(owner, nth, name, data, pii, dates, ord)
join (select c.*, ${headOf(names, headBy, "$6")} as head
  from unnest($1::text[], ${splitExpected("$2")}, $3::int[], ${splitJson("$4")}, $5::uuid[], $13::bigint[])
    with ordinality as c(stream, expected, size, meta, token, low, ord)) a on a.ord = m.owner
cross join (${nowQuery(names, "$6")}) clock
where ${accepts("a", "a.head")}
order by m.ord
returning id`;

/**
 * Returns the events that the INSERT has stored, as the row that `readAppended` reads. A stream's newest events belong to a
 * commit if the first of them has the commit's token. $1 streams, $2 tokens, $3 numbers of events: one element per commit
 */
const storedText = (
  names: Names,
  { announce, limit }: AppendMode,
  by: string,
): string => `with newest as materialized (
  select c.ord, c.stream, c.size, c.token as wanted, e.id, e.version, e.name, e.token, ${millisOf("e.created")} as created
  from unnest($1::text[], $2::uuid[], $3::int[]) with ordinality as c(stream, token, size, ord)
  left join lateral (
    select x.* from ${names.events} x where x.stream = c.stream order by x.version desc limit c.size) e on true
), decided as materialized (
  select ord, stream, size, bool_or(coalesce(token = wanted, false)) as accepted,
    coalesce(max(version), -1) - case when bool_or(coalesce(token = wanted, false)) then size else 0 end as head
  from newest group by ord, stream, size
), accepted as materialized (select ord, stream, size, head from decided where accepted
), inserted as materialized (
  select n.id, n.stream, n.version, n.name, n.ord, n.created from newest n join accepted a on a.ord = n.ord
)${announce ? announceText(names, by, true) : ""}
select decisions.heads, decisions.accepted, events.ids, events.created${
  announce ? ", (select count(*) from announced) as announced" : ""
}${limit === undefined ? "" : `, set_config('statement_timeout', '${limit}', true) as limited`}
from (select array_agg(head order by ord)::text as heads, array_agg(accepted order by ord)::text as accepted from decided) decisions,
  (select array_agg(id order by ord, version)::text as ids, max(created) as created from inserted) events ${onCoordinator}`;

export const citusTexts = (names: Names, mode: AppendMode, by: string): CitusTexts => ({
  insert: insertText(names, mode.headBy),
  stored: storedText(names, mode, by),
});
