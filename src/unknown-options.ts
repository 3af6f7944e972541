/**
 * Warns once of each option that a read does not know. The read is not refused, because the framework may add options, and
 * apps that use them must keep working. The operator verbs do refuse: they would change the wrong subscriptions.
 */
import type { Context } from "./context.ts";
import { log } from "./values/log.ts";

/** Maximum number of warnings per store, because the names may come from the requests of users. */
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
      `[act-drizzle] "${schema}"."${table}": ${verb} ignores ${JSON.stringify(name.slice(0, 50))}, which it does not know; its options are ${Object.keys(known).join(", ")}`,
    );
  }
}
