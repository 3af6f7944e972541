/**
 * Says, once for each name, that a read does not know an option. It is not refused: the framework may add options, and an app
 * that uses them must go on. The operator verbs refuse, because they would change other subscriptions than are meant.
 */
import { log } from "@rotorsoft/act";
import type { Context } from "./context.ts";

/** So many names are told for each store: they may come from a user's request. */
const MOST = 20;

const told = new WeakMap<Context, Set<string>>();

/** `known` has a property for each option that the verb knows. */
export function warnOfUnknown(context: Context, verb: string, given: object, known: object): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name) || Reflect.get(given, name) === undefined) continue;
    const names = told.get(context) ?? new Set();
    told.set(context, names);
    const key = `${verb} ${name}`;
    if (names.has(key) || names.size >= MOST) continue;
    names.add(key);
    const { schema, table } = context.names;
    log().warn(
      `[act-drizzle] "${schema}"."${table}": ${verb} does not know ${JSON.stringify(name.slice(0, 50))} and reads as if it were left out; it knows ${Object.keys(known).join(", ")}`,
    );
  }
}
