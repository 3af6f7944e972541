/** Wraps a store's verbs: each call is a span and a point of db.client.operation.duration. */
import { context as contexts } from "@opentelemetry/api";
import type { Context } from "../context.ts";
import { Call, type CallsOptions, Verb } from "./calls.ts";

const VERBS = [
  ...["seed", "commit", "query", "query_stats", "truncate", "restore", "forget_pii", "subscribe", "claim"],
  ...["ack", "block", "defer", "reset", "unblock", "prioritize", "query_streams"],
];

type Watch = {
  readonly calls: CallsOptions;
  /** Gets the call of a commit while its verb runs, because the commit is queued before the verb returns. */
  readonly calling: (call: Call | undefined) => void;
  /** Gets the number of leases that an ack gave back too late. */
  readonly leasesLost: (count: number) => void;
};

/** How many leases an ack should return: it never returns those with `due`. */
function asked(leases: unknown): number {
  if (!Array.isArray(leases)) return 0;
  const keys = leases.flatMap((lease: { stream?: unknown; due?: unknown }) =>
    lease?.due == null ? [lease?.stream] : [],
  );
  return new Set(keys).size;
}

/** The caller gets the store's own promise, so that it continues as early as without telemetry. */
function watch(call: Call, run: () => unknown, done: (result: unknown) => void = () => {}): unknown {
  const failed = (error: unknown) => call.ended({ error });
  try {
    const result = run();
    Promise.resolve(result).then((value: unknown) => {
      done(value);
      call.ended();
    }, failed);
    return result;
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** Returns a function that restores the store's own verbs. */
export function watchVerbs(
  store: object,
  { piiKeys, inline }: Context,
  { calls, calling, leasesLost }: Watch,
) {
  const restores = VERBS.flatMap((name) => {
    const original: unknown = Reflect.get(store, name);
    if (typeof original !== "function") return [];
    const verb = new Verb(name, calls);
    const run = (args: unknown[]): unknown => Reflect.apply(original, store, args);
    const commit = (...args: unknown[]): unknown => {
      const call = new Call(verb);
      return watch(call, () => {
        calling(call);
        try {
          return run(args);
        } finally {
          calling(undefined);
        }
      });
    };
    const other = (...args: unknown[]): unknown => {
      const call = new Call(verb);
      const lost = (acked: unknown) => leasesLost(asked(args[0]) - (Array.isArray(acked) ? acked.length : 0));
      return watch(
        call,
        () => contexts.with(call.inside, run, undefined, args),
        name === "ack" ? lost : undefined,
      );
    };
    // Without a key provider and inline projections a commit runs no code of its caller: nothing needs its span before its end.
    const wrapped = name === "commit" && !piiKeys && !inline ? commit : other;
    Reflect.set(store, name, wrapped);
    return [() => Reflect.get(store, name) === wrapped && Reflect.set(store, name, original)];
  });
  return () => {
    for (const restore of restores) restore();
  };
}
