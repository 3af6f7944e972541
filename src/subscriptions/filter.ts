/** Selects the subscriptions that an operator verb changes, by name or by a filter. */
import type { StreamFilter } from "@rotorsoft/act";
import { Conditions } from "../postgres/conditions.ts";
import { textArray } from "../postgres/parameters.ts";
import { ANY, type Rules, unknownOption } from "../values/rules.ts";
import { checkFlag, checkObject, checkOptionalText, checkTexts, invalid } from "../values/validate.ts";

/** Names of subscriptions, or a filter; `{}` is all. */
export type StreamInput = string[] | StreamFilter;

const FILTERS: Rules<StreamFilter> = {
  stream: ANY,
  stream_exact: ANY,
  source: ANY,
  source_exact: ANY,
  blocked: ANY,
  lane: ANY,
};

/**
 * Refuses an unknown filter. A verb that ignored it would change more subscriptions than the caller meant, and all of them
 * if it is the only filter.
 */
export function checkInput(verb: string, input: StreamInput): void {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return;
  const unknown = Object.entries(input).find(
    ([name, value]) => value !== undefined && !Object.hasOwn(FILTERS, name),
  );
  if (unknown) throw invalid(verb, unknownOption(unknown[0], Object.keys(FILTERS), "filter"));
}

/** Conditions on `s`, an alias of the subscriptions table. A source filter never matches a null source. */
export function filterConditions(verb: string, filter: StreamFilter, where = new Conditions()): Conditions {
  checkObject(verb, "filter", filter);
  checkOptionalText(verb, "stream", filter.stream);
  checkOptionalText(verb, "source", filter.source);
  checkOptionalText(verb, "lane", filter.lane);
  for (const flag of ["blocked", "stream_exact", "source_exact"] as const)
    checkFlag(verb, flag, filter[flag]);
  // null is easily passed by mistake for undefined, and would select other subscriptions.
  for (const option of ["stream", "source", "blocked", "lane"] as const)
    if (filter[option] === null) throw invalid(verb, `${option} must not be null: leave it out`);
  if (filter.stream !== undefined) where.match("stream", "s.stream", filter.stream, filter.stream_exact);
  if (filter.source !== undefined) {
    where.add("s.source is not null");
    where.match("source", "s.source", filter.source, filter.source_exact);
  }
  if (filter.blocked !== undefined) where.add(filter.blocked ? "s.blocked" : "not s.blocked");
  if (filter.lane !== undefined) where.add(`s.lane = ${where.param(filter.lane)}::text`);
  return where;
}

/** Names of subscriptions, each once. */
export function namesOf(verb: string, input: string[]): string[] {
  checkTexts(verb, "streams", input);
  return [...new Set(input)];
}

export function namesConditions(names: readonly string[]): Conditions {
  const where = new Conditions();
  where.add(`s.stream = any(${where.param(textArray(names))}::text[])`);
  return where;
}
