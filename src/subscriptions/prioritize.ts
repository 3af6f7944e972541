/** prioritize(): sets the priority as given. subscribe, in contrast, only raises it. */
import type { StreamFilter } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { checkNumber, toInt } from "../values/validate.ts";
import { filterConditions } from "./filter.ts";
import { type ProgressOptions, updateStreams } from "./update.ts";

/** Returns how many subscriptions had another priority. An empty filter selects all. */
export async function prioritize(
  context: Context,
  filter: StreamFilter,
  priority: number,
  options?: ProgressOptions,
): Promise<number> {
  checkNumber("prioritize", "priority", priority);
  const where = filterConditions("prioritize", filter);
  const value = where.param(toInt(priority));
  where.add(`s.priority <> ${value}::int`);
  return updateStreams(context, "prioritize", where, `priority = ${value}::int`, options);
}
