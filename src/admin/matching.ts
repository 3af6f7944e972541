/** Which subscriptions an operator verb would change, before it does. */
import * as z from "zod";
import type { Context } from "../context.ts";
import type { Query } from "../postgres/index.ts";
import type { Names } from "../schema/names.ts";
import {
  checkInput,
  filterConditions,
  namesConditions,
  namesOf,
  type StreamInput,
} from "../subscriptions/filter.ts";
import { checkGiven, FLAG, type Rules } from "../values/rules.ts";
import { boundedCount, type Count, countOf } from "./bounded.ts";

/** The subscriptions that a verb would change. */
export type Matching = {
  readonly count: Count;
  /** The first of them by name, at most 20. */
  readonly first: readonly string[];
};

/** Narrows the subscriptions to what a verb would change. */
export type MatchingOptions = {
  /** Only those that are blocked, as unblock changes no other. */
  readonly blocked?: boolean | undefined;
};

const FIRST = 20;
const RULES: Rules<MatchingOptions> = { blocked: FLAG };

export function matchingQuery(
  names: Names,
  input: StreamInput,
  { blocked }: MatchingOptions,
): Query | undefined {
  if (Array.isArray(input) && input.length === 0) return undefined;
  const where = Array.isArray(input)
    ? namesConditions(namesOf("matching", input))
    : filterConditions("matching", input);
  if (blocked) where.add("s.blocked");
  const from = `from ${names.streams} s${where.where}`;
  return {
    text: `select ${countOf(from)} as count,
  to_jsonb(array(select s.stream ${from} order by s.stream using ~<~ limit ${FIRST})) as first`,
    params: where.params,
  };
}

const row = z.object({ count: boundedCount(), first: z.array(z.string()) });

export async function matching(
  { names, connections }: Context,
  input: StreamInput,
  options: MatchingOptions = {},
): Promise<Matching> {
  checkGiven("matching", options, RULES);
  checkInput("matching", input);
  const query = matchingQuery(names, input, options);
  if (!query) return { count: { count: 0, exact: true }, first: [] };
  const [found] = await connections.read("admin", query);
  return row.parse(found);
}
