/** Checks options. Throws one error that names each wrong option and what it takes, and shows no value. */
import type * as z from "zod";
import { isRecord } from "../values/json-dates.ts";
import { unknownOption } from "../values/rules.ts";
import { type Options, optionList, optionsSchema } from "./option-list.ts";
import type { Values } from "./sources.ts";

/** The options, with defaults for those that are left out. `source` says in an error where they come from. */
export function checkOptions(input: unknown, source = ""): Options {
  const result = optionsSchema.safeParse(input);
  if (!result.success) throw explain(result.error, source);
  return result.data;
}

/** One readable message, with a part for each wrong option. It shows no values, because they may be secrets. */
function explain(error: z.ZodError, source: string): Error {
  const known = optionList.map(({ name }) => name);
  const lines = error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") return issue.keys.map((k) => unknownOption(k, known));
    const option = issue.path.join(".") || "options";
    const takes = optionList.find(({ name }) => name === issue.path[0])?.takes;
    return [`option "${option}"${source}: ${takes ?? issue.message}`];
  });
  return new Error(`act-drizzle: ${lines.join("; ")}`);
}

/** The options that are given. One that is undefined counts as left out. */
export function givenOptions(input: unknown): Values {
  if (!isRecord(input)) return {};
  const set = optionList.map(({ name }) => [name, input[name]]).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set);
}
