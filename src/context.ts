/** What every verb gets: the names of the tables, the connections, and the reader of rows. */
import type { InlineProjections, Scope } from "./options/inline.ts";
import type { StoreConnections } from "./postgres/index.ts";
import type { EventReader } from "./schema/event-rows.ts";
import type { Names } from "./schema/names.ts";
import type { Signals } from "./signals.ts";
import { isRecord } from "./values/json-dates.ts";
import type { PiiKeys } from "./values/pii-keys.ts";

/**
 * A store keeps its context under this symbol, so that the package's other entries (act-drizzle/admin, …) use the
 * store's connections. The symbol is global, because each entry is bundled by itself.
 */
export const CONTEXT = Symbol.for("act-drizzle.context");

export type Context = {
  readonly names: Names;
  readonly connections: StoreConnections;
  readonly reader: EventReader;
  readonly piiKeys: PiiKeys | undefined;
  readonly inline: InlineProjections | undefined;
  /** Identifies this store in notifications, so that it ignores those of its own commits. */
  readonly by: string;
  readonly notify: boolean;
  /**
   * ms between two polls of a listener for work that no event announces; 0: it polls only after an announcement, a refused
   * lease or a failed call, and when deferred work is due that such a poll has found.
   */
  readonly pollIntervalMillis: number;
  /** Lanes in which the last claim found deferred subscriptions that were due; undefined stands for a claim of all lanes. */
  readonly lanesWithDue: Set<string | undefined>;
  /**
   * Runs `work`, which holds the append lock while it calls the user's code. If that code calls a verb of this store that
   * would wait for `work`, the verb is refused.
   */
  readonly exclusive: <T>(verb: string, work: () => Promise<T>) => Promise<T>;
  /** Begins an inline projection. A verb that it calls, and that would wait for its commit, is refused. */
  readonly projecting: () => Scope;
  /** For telemetry: the observer, if there is one, and the number of waiting commits, which the observer reads. */
  readonly signals: Signals;
};

/**
 * The context of a PostgresStore, also through a Proxy.
 *
 * @throws TypeError if `store` is something else.
 */
export function contextOf(store: object): Context {
  const context: Context | undefined = isRecord(store) ? Reflect.get(store, CONTEXT) : undefined;
  if (context === undefined)
    throw new TypeError(
      "act-drizzle: a PostgresStore of this release is needed. Pass the store that you gave to store(…).",
    );
  return context;
}
