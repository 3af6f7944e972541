/** health(): whether this process can work with its store now. It never throws, and never waits longer than `timeoutMs`. */
import * as z from "zod";
import type { Context } from "../context.ts";
import type { ListenerState, ReplicaState } from "../postgres/index.ts";
import { LONGEST_MS } from "../postgres/timers.ts";
import { literal, type Names } from "../schema/names.ts";
import { checkGiven, FLAG, type Rules, TIME_LIMIT } from "../values/rules.ts";
import { boundedCount, type Count, countOf, epochMs } from "./bounded.ts";
import { appendLock } from "./connections.ts";
import { lag } from "./lag.ts";

/** What `health()` looks at, and how long it may take. */
export type HealthOptions = {
  /** Also looks at the append lock, at blocked subscriptions and at the oldest lag: for a dashboard, not for each probe. */
  readonly deep?: boolean | undefined;
  /** Time limit in ms. Default 2,000. */
  readonly timeoutMs?: number | undefined;
};

/** Whether this process can work with its store now, and why not. Times are in ms. */
export type Health = {
  /** The database answers, and the tables are there and can be written to. */
  readonly ok: boolean;
  /** Why `ok` is false, without data and addresses. Empty if it is true. */
  readonly problems: readonly string[];
  /** ms until the database answered, including the wait for a connection. Undefined if it did not answer. */
  readonly latencyMs: number | undefined;
  /** This process's connections, without those for commits. */
  readonly pool: {
    readonly busy: number;
    readonly idle: number;
    /** Calls that wait for one. */
    readonly waiting: number;
    readonly max: number;
  };
  /**
   * `off`: notify is off, or was not started; the process then claims after its own commits only. While the listener
   * reconnects, the process finds work by polling. Neither makes `ok` false.
   */
  readonly listener: ListenerState;
  /**
   * The replicas of the option `replicas`; with `deep` each one is asked now. A replica that is down does not make `ok`
   * false, because the primary answers its reads.
   */
  readonly replicas: readonly ReplicaState[];
  /**
   * With `deep`. Undefined if `ok` is false, and if the look failed or took longer than the time limit. That alone does not
   * make `ok` false.
   */
  readonly deep:
    | {
        readonly appendLock: {
          /** Transactions of all processes that wait to append. */
          readonly waiting: number;
          /** ms for which the holder's transaction has run. */
          readonly heldMs: number | undefined;
        };
        readonly blocked: Count;
        /**
         * Largest age of a next event of the 50 subscriptions with the lowest watermarks, as far as it was found in a second.
         * Undefined: none was found.
         */
        readonly oldestLagMs: number | undefined;
      }
    | undefined;
};

const RULES: Rules<HealthOptions> = { deep: FLAG, timeoutMs: TIME_LIMIT };
const TIMEOUT = 2_000;
/** ms after which the search for next events stops. The lag is then computed from the events found so far. */
const LAG_LIMIT_MS = 1_000;
/**
 * How many of the lowest watermarks are read. One is not enough: the subscription with the lowest watermark may have no
 * next event, if events for others raised its work mark.
 */
const FURTHEST_BEHIND = 50;

const answer = z.object({
  present: z.boolean(),
  permitted: z.boolean().nullable(),
  standby: z.boolean(),
  read_only: z.boolean(),
});

/** One round trip, and nothing of the tables is read. */
function shallowText({ events, streams, correlated }: Names): string {
  const of = (name: string) => `to_regclass(${literal(name)})`;
  const may = (name: string, right: string) => `has_table_privilege(${of(name)}, '${right}')`;
  return `select ${[events, streams, correlated].map((name) => `${of(name)} is not null`).join(" and ")} as present,
  ${[may(events, "select"), may(events, "insert"), may(streams, "insert"), may(streams, "update"), may(correlated, "update")].join(" and ")} as permitted,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only`;
}

function problemsOf({ present, permitted, standby, read_only }: z.infer<typeof answer>): string[] {
  if (!present) return ["the store's tables are missing: call seed() first"];
  const found: string[] = [];
  if (standby) found.push("the server is a standby, which takes no writes: connect to the primary");
  else if (read_only) found.push("transactions are read-only: look at default_transaction_read_only");
  if (permitted !== true)
    found.push("the role may not write to the tables: grant it what docs/guides/security.md lists");
  return found;
}

/** `left`: ms until the answer is due. */
async function deepOf(context: Context, left: number): Promise<NonNullable<Health["deep"]>> {
  const { names, connections } = context;
  const [lock, behind, [row]] = await Promise.all([
    appendLock(context),
    lag(context, { limit: FURTHEST_BEHIND }, Math.min(LAG_LIMIT_MS, left / 2)),
    connections.read("health", {
      text: `select ${countOf(`from ${names.streams} s where s.blocked`)} as blocked,
  ${epochMs("clock_timestamp()")} as now`,
    }),
    connections.replicas?.checkAll(),
  ]);
  const lags = behind.flatMap(({ lagMs }) => lagMs ?? []);
  return {
    appendLock: { waiting: lock.waiting.length, heldMs: lock.holder?.transactionMs },
    blocked: boundedCount().parse(row?.blocked),
    oldestLagMs: lags.length > 0 ? Math.max(...lags) : undefined,
  };
}

/** Rejects after `ms`, whatever `work` does. */
function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the database did not answer within ${ms} ms`)),
      Math.min(ms, LONGEST_MS),
    );
    timer.unref();
  });
  // After the time limit nobody handles a rejection of `work`, and it must not end the process.
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/**
 * Names the code of a failure of the database and not its message, which may hold the server's address. Errors without a
 * code are this package's own, and are shown.
 */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "the database failed";
  const cause = error.cause;
  if (typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string")
    return `the database failed: ${cause.code}`;
  return error.message;
}

export async function health(context: Context, options: HealthOptions = {}): Promise<Health> {
  const { names, connections } = context;
  const start = performance.now();
  const problems: string[] = [];
  let latencyMs: number | undefined;
  let found: Health["deep"];
  try {
    // health() never rejects, so it reports a wrong option as a problem, too.
    checkGiven("health", options, RULES);
    const { deep = false, timeoutMs = TIMEOUT } = options;
    const [row] = await within(timeoutMs, connections.read("health", { text: shallowText(names) }));
    latencyMs = performance.now() - start;
    problems.push(...problemsOf(answer.parse(row)));
    const left = Math.max(1, timeoutMs - latencyMs);
    // The deep look is slow if there is much work. That says nothing about whether this process can work.
    if (deep && problems.length === 0)
      found = await within(left, deepOf(context, left)).catch(() => undefined);
  } catch (error) {
    problems.push(reasonOf(error));
  }
  return {
    ok: problems.length === 0,
    problems,
    latencyMs,
    pool: connections.counts,
    listener: connections.listenerState,
    replicas: connections.replicas?.states ?? [],
    deep: found,
  };
}
