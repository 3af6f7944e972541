/** prioritize(): sets the priority as given. subscribe, in contrast, only raises it. */
import type { StreamFilter } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { checkGiven } from "../values/rules.ts";
import { checkNumber, toInt } from "../values/validate.ts";
import { checkInput, filterConditions } from "./filter.ts";
import { PROGRESS_RULES, type ProgressOptions, updateStreams } from "./update.ts";

/** Returns how many subscriptions had another priority. An empty filter selects all. */
export async function prioritize(
  context: Context,
  filter: StreamFilter,
  priority: number,
  options: ProgressOptions = {},
): Promise<number> {
  checkGiven("prioritize", options, PROGRESS_RULES);
  checkInput("prioritize", filter);
  checkNumber("prioritize", "priority", priority);
  const where = filterConditions("prioritize", filter);
  const value = where.param(toInt(priority));
  where.add(`s.priority <> ${value}::int`);
  return updateStreams(context, "prioritize", where, `priority = ${value}::int`, options);
}
