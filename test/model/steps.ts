/**
 * One step of a random sequence: a verb and its arguments, as plain data. What only a running store
 * knows (ids, times, heads, leases) is named by ordinal and looked up when the step runs, so that a
 * sequence still means something after shrinking.
 */
import type { EventMeta, SubscribeInput } from "@rotorsoft/act";
import type { Pattern } from "./names.ts";
import type { Payload } from "./values.ts";

/** An id near the k-th event's, or a number that is nobody's. */
export type IdRef = { readonly event: number; readonly delta: number } | { readonly literal: number };
/** A time near the k-th event's `created`, or milliseconds since epoch. */
export type TimeRef = IdRef;
export type EventSpec = { readonly name: string; readonly data: Payload; readonly pii?: Payload | null };
export type CommitSpec = {
  readonly stream: string;
  readonly events: readonly EventSpec[];
  readonly meta: EventMeta;
  /** Distance of expectedVersion from the head; undefined is an unguarded commit. */
  readonly guard?: number;
};
export type Filter = {
  readonly stream?: Pattern;
  readonly stream_exact?: string;
  readonly source?: Pattern;
  readonly source_exact?: string;
  readonly blocked?: boolean;
  readonly lane?: string;
};
export type Selection = { readonly names: readonly string[] } | { readonly filter: Filter };
export type QuerySpec = {
  readonly stream?: Pattern;
  readonly stream_exact?: string;
  readonly names?: readonly string[];
  readonly before?: IdRef;
  readonly after?: IdRef;
  readonly limit?: number;
  readonly created_before?: TimeRef;
  readonly created_after?: TimeRef;
  readonly backward?: boolean;
  readonly correlation?: string;
  readonly with_snaps?: boolean;
};
/** A lease granted earlier, counting round and round, or a forged one; `by` may be somebody else. */
export type LeaseSpec = {
  readonly pick: number;
  readonly stream: string;
  readonly by?: string;
  readonly at: number;
  readonly due?: number;
};
export type TargetSpec = {
  readonly stream: string;
  readonly snapshot?: Payload;
  readonly meta?: EventMeta;
  readonly before?: TimeRef;
  readonly max_id?: IdRef;
};
export type RestoredSpec = EventSpec & {
  readonly stream: string;
  readonly meta: EventMeta;
  readonly created: Date;
};

export type Step =
  | { readonly verb: "commit"; readonly commits: readonly CommitSpec[] }
  | { readonly verb: "query"; readonly query?: QuerySpec; readonly throwAt?: number }
  | {
      readonly verb: "subscribe";
      readonly entries: readonly SubscribeInput[];
      readonly checkpoint?: number;
      readonly correlator?: { readonly key: string; readonly by: string; readonly millis: number };
    }
  | {
      readonly verb: "claim";
      readonly lagging: number;
      readonly leading: number;
      readonly by: string;
      readonly millis: number;
      readonly lane?: string;
    }
  | { readonly verb: "ack"; readonly leases: readonly LeaseSpec[] }
  | { readonly verb: "block"; readonly leases: readonly LeaseSpec[]; readonly error: string }
  | { readonly verb: "defer"; readonly on: Selection; readonly until: number }
  | { readonly verb: "reset" | "unblock"; readonly on: Selection }
  | { readonly verb: "prioritize"; readonly filter: Filter; readonly priority: number }
  | {
      readonly verb: "query_streams";
      readonly filter: Filter;
      readonly source_matches?: readonly string[];
      readonly after?: string;
      readonly limit?: number;
    }
  | {
      readonly verb: "query_stats";
      readonly on: Selection;
      readonly options: {
        readonly tail?: boolean;
        readonly count?: boolean;
        readonly names?: boolean;
        readonly exclude?: readonly ("__snapshot__" | "__tombstone__" | "Opened")[];
        readonly before?: IdRef;
        readonly after?: string;
        readonly limit?: number;
      };
    }
  | { readonly verb: "truncate"; readonly targets: readonly TargetSpec[] }
  | {
      readonly verb: "restore";
      /** Every `keep`-th event of the log is left out; 0 keeps none. */
      readonly keep: number;
      readonly events: readonly RestoredSpec[];
      readonly throwAt?: number;
    }
  | { readonly verb: "forget_pii"; readonly stream: string };
