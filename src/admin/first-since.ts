/** The first event since a time, by halving the log's ids: some 60 look-ups on a log of any size. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { toTime } from "../values/time.ts";

const row = z.object({ first: z.coerce.number().nullable(), last: z.coerce.number().nullable() });

/**
 * `first` is the lowest id from which on every event was committed at or after `cutoff`, an expression. It may be an id
 * that no event has. It is the last id + 1 if no event is that new, and null for an empty log. `last` is the log's end.
 * Commits never let times run backward along ids. In an adopted, imported or restored log they may.
 */
export const firstSinceText = (events: string, cutoff: string): string => `with recursive bounds as (
  select (select min(id) from ${events}) as first, (select max(id) from ${events}) as last
), halves(low, high) as (
  select first, last + 1 from bounds where first is not null
  union all
  select case when later then h.low else middle + 1 end, case when later then middle else h.high end
  from (
    select h.low, h.high, (h.low + h.high) / 2 as middle,
      coalesce((select e.created >= ${cutoff}
       from ${events} e where e.id >= (h.low + h.high) / 2 order by e.id limit 1), true) as later
    from halves h where h.low < h.high
  ) h
)
select (select min(low) from halves where low >= high) as first, (select last from bounds) as last`;

export type FirstSince = z.infer<typeof row>;

/** `params` are those of `cutoff`. */
export async function firstSince(
  { names, connections }: Context,
  cutoff: string,
  params: number[],
): Promise<FirstSince> {
  const [found] = await connections.read("admin", { text: firstSinceText(names.events, cutoff), params });
  return row.parse(found);
}

/** `first` of {@link firstSinceText} for a time in ms since the epoch. Undefined for an empty log. */
export async function firstIdSince(context: Context, ms: number): Promise<number | undefined> {
  const { first } = await firstSince(context, "to_timestamp($1::float8 / 1000)", [toTime(ms)]);
  return first ?? undefined;
}
