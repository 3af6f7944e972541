/**
 * The append with Citus. A CTE that feeds an INSERT would be sent to every worker, and take part in the transaction there: a
 * worker that is down would keep all tenants from appending. So it is two statements without such a CTE: the INSERT, which
 * decides as the one of `append.ts` does, and a look at what was stored. Both run on the log's node alone. Ids are drawn on
 * the coordinator.
 */
import { splitJson } from "../postgres/parameters.ts";
import { onCoordinator } from "../schema/citus.ts";
import { millisOf } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { type AppendMode, accepts, announceText, headOf, nowQuery } from "./append.ts";

export type CitusTexts = { readonly insert: string; readonly stored: string };

/**
 * The parameters are those of the INSERT of `append.ts`. No stream occurs twice.
 *
 * Without RETURNING Citus would send the rows by COPY on a connection that it takes for one that only reads, and answer COMMIT
 * even where the log's node has failed to commit: acknowledged events were lost (13.2, `test/citus/recovery.test.ts`).
 */
const insertText = (names: Names, headBy: AppendMode["headBy"]): string => `insert into ${names.events}
  (name, data, stream, version, created, meta, pii, dates, token)
select m.name, m.data::jsonb, a.stream, a.head + m.nth, clock.created, a.meta::jsonb, m.pii::jsonb, m.dates::jsonb,
  case when m.nth = 1 then a.token end
from unnest($7::int[], $8::int[], $9::text[], ${splitJson("$10")}, ${splitJson("$11")}, ${splitJson("$12")})
  with ordinality as m(owner, nth, name, data, pii, dates, ord)
join (select c.*, ${headOf(names, headBy, "$6")} as head
  from unnest($1::text[], $2::int[], $3::int[], ${splitJson("$4")}, $5::uuid[], $13::bigint[])
    with ordinality as c(stream, expected, size, meta, token, low, ord)) a on a.ord = m.owner
cross join (${nowQuery(names, "$6")}) clock
where ${accepts("a", "a.head")}
order by m.ord
returning id`;

/**
 * What the INSERT has stored, as its own answer would be. The newest events of a stream are those of a commit if the first of
 * them has its token. $1 streams, $2 tokens, $3 numbers of events: one element per commit
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
