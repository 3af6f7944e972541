/**
 * Names to choose from: of events, of streams, and of lanes. Those of events and streams are found by jumps over an index,
 * not by reading the log; those of lanes among the first 10,000 subscriptions.
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import { checkGiven, LIMIT, type Rules, TEXT } from "../values/rules.ts";

/** The names that a list of choices offers. */
export type NamesInUse = {
  /** Names of events, in the order of the database. At most 500. */
  readonly names: readonly string[];
  /** Lanes of the first 10,000 subscriptions. At most 500. */
  readonly lanes: readonly string[];
};

const MAX_NAMES = 500;
const DEFAULT_LIMIT = 20;
const SUBSCRIPTIONS = 10_000;

export const namesText = ({ events: log, streams }: Names): string => `with recursive n(name) as (
  (select e.name from ${log} e order by e.name limit 1)
  union all
  select (select e.name from ${log} e where e.name > n.name order by e.name limit 1) from n where n.name is not null
)
select to_jsonb(array(select name from n where name is not null limit ${MAX_NAMES})) as names,
  to_jsonb(array(
    select distinct lane from (select s.lane from ${streams} s limit ${SUBSCRIPTIONS}) s order by lane limit ${MAX_NAMES})) as lanes`;

const namesRow = z.object({ names: z.array(z.string()), lanes: z.array(z.string()) });

export async function namesInUse({ names, connections }: Context): Promise<NamesInUse> {
  const [row] = await connections.read("admin", { text: namesText(names) });
  return namesRow.parse(row);
}

/** Which stream names to list. */
export type StreamNamesOptions = {
  readonly prefix?: string | undefined;
  /** Only those after this one. */
  readonly after?: string | undefined;
  /** Default 20. */
  readonly limit?: number | undefined;
};

const RULES: Rules<StreamNamesOptions> = { prefix: TEXT, after: TEXT, limit: LIMIT };

/** The parameters, in this order: if a prefix is given, it and the first string after its range; `after`, if given; the limit. */
export function streamNamesQuery(
  names: Names,
  { prefix, after, limit = DEFAULT_LIMIT }: StreamNamesOptions,
): Query {
  const where = new Conditions();
  const range = prefix ? where.prefixRange(prefix) : undefined;
  const to = range?.to("e.stream").map((condition) => ` and ${condition}`) ?? [];
  const begin = [
    ...(range ? [range.from("e.stream")] : []),
    ...(after !== undefined ? [`e.stream ~>~ ${where.param(after)}::text`] : []),
  ];
  const from = begin.length > 0 ? begin.join(" and ") : "e.stream ~>=~ ''";
  return {
    text: `with recursive n(stream) as (
  (select e.stream from ${names.events} e where ${from}${to.join("")} order by e.stream using ~<~ limit 1)
  union all
  select (select e.stream from ${names.events} e where e.stream ~>~ n.stream${to.join("")} order by e.stream using ~<~ limit 1)
  from n where n.stream is not null
)
select stream from n where stream is not null limit ${where.param(limit)}::bigint`,
    params: where.params,
  };
}

const streamRow = z.object({ stream: z.string() });

/** Names of streams in byte order. */
export async function streamNames(
  { names, connections }: Context,
  options: StreamNamesOptions = {},
): Promise<string[]> {
  checkGiven("streamNames", options, RULES);
  const rows = await connections.read("admin", streamNamesQuery(names, options));
  return z
    .array(streamRow)
    .parse(rows)
    .map(({ stream }) => stream);
}
