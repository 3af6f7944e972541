/** Arbitrary sequences of steps: which verbs, how often, with which arguments. */
import type { EventMeta, SubscribeInput } from "@rotorsoft/act";
import fc from "fast-check";
import * as names from "./names.ts";
import { HOUR } from "./session.ts";
import type {
  CommitSpec,
  EventSpec,
  Filter,
  IdRef,
  LeaseSpec,
  QuerySpec,
  RestoredSpec,
  Selection,
  Step,
  TargetSpec,
  TimeRef,
} from "./steps.ts";
import { payload, poison } from "./values.ts";

const FAR_FUTURE = Date.UTC(2100, 0, 1);

/** Undefined, or so many times in a hundred a value. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>, percent = 50): fc.Arbitrary<T | undefined> =>
  fc.oneof(
    { withCrossShrink: true },
    { weight: 100 - percent, arbitrary: fc.constant(undefined) },
    { weight: percent, arbitrary },
  );
/** Without the fields that are undefined: an absent field is the common case. */
const present = <T extends object>(all: T): T =>
  Object.fromEntries(Object.entries(all).filter(([, item]) => item !== undefined)) as T;
const ordinal = fc.nat({ max: 30 });

const idRef: fc.Arbitrary<IdRef> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ event: ordinal, delta: fc.constantFrom(0, 0, -1, 1) }) },
  { weight: 1, arbitrary: fc.record({ literal: fc.constantFrom(-1, 0, 2 ** 31 - 1, 2 ** 31, 2 ** 40) }) },
);
const timeRef: fc.Arbitrary<TimeRef> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ event: ordinal, delta: fc.constantFrom(0, 0, -1, 1) }) },
  { weight: 1, arbitrary: fc.record({ literal: fc.constantFrom(0, FAR_FUTURE) }) },
);

/**
 * Watermarks, marks and checkpoints are compared with each other only, never with events, so the same
 * number serves both stores: small ones collide, large ones leave int4.
 */
const position = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -1, max: 9 }) },
  { weight: 1, arbitrary: fc.constantFrom(-7, 2 ** 31 - 1, 2 ** 31, 2 ** 40) },
);
const priority = fc.constantFrom(0, 0, 1, 5, -5);
const millis = fc.constantFrom(0, HOUR);

const meta: fc.Arbitrary<EventMeta> = fc
  .tuple(names.correlation, maybe(payload, 30))
  .map(([correlation, extra]) => {
    const actor = { id: "1", name: "actor", extra };
    return { correlation, causation: extra ? { action: { stream: "s", name: "act", actor } } : {} };
  });
const event: fc.Arbitrary<EventSpec> = fc.record(
  { name: names.eventName, data: payload, pii: fc.option(payload, { freq: 3 }) },
  { requiredKeys: ["name", "data"] },
);
const healthy: fc.Arbitrary<CommitSpec> = fc.record(
  {
    stream: names.stream,
    events: fc.oneof(
      { weight: 9, arbitrary: fc.array(event, { minLength: 1, maxLength: 3 }) },
      { weight: 1, arbitrary: fc.constant([]) },
    ),
    meta,
    guard: fc.constantFrom(0, 0, 0, -1, 1),
  },
  { requiredKeys: ["stream", "events", "meta"] },
);
/** One bad string, somewhere. */
const poisoned: fc.Arbitrary<CommitSpec> = fc
  .tuple(healthy, event, poison, fc.constantFrom("data", "key", "meta", "pii", "name", "stream"))
  .map(([commit, good, bad, place]): CommitSpec => {
    const nested = { deep: [{ bad }] };
    if (place === "stream") return { ...commit, stream: bad, events: [good] };
    if (place === "meta") return { ...commit, events: [good], meta: { correlation: bad, causation: {} } };
    const spoiled: EventSpec = {
      name: place === "name" ? bad : good.name,
      data: place === "data" ? nested : place === "key" ? { [bad]: 1 } : good.data,
      pii: place === "pii" ? nested : good.pii,
    };
    return { ...commit, events: [good, spoiled] };
  });
const commit = fc.oneof({ weight: 19, arbitrary: healthy }, { weight: 1, arbitrary: poisoned });

const emptyPattern: names.Pattern = { text: "", rich: false };
const filter: fc.Arbitrary<Filter> = fc
  .tuple(
    fc.constantFrom<"all" | "pattern" | "exact" | "empty">(
      "all",
      "all",
      "pattern",
      "pattern",
      "exact",
      "empty",
    ),
    names.pattern,
    names.stream,
    fc.constantFrom<"all" | "pattern" | "exact">("all", "all", "all", "all", "pattern", "exact"),
    names.pattern,
    fc.constantFrom("a-1", "^a-", ".*", "b.c"),
    fc.record({ blocked: maybe(fc.boolean(), 20), lane: maybe(names.lane, 20) }).map(present),
  )
  .map(([how, text, name, from, sourceText, source, rest]) => ({
    ...rest,
    ...(how === "pattern" ? { stream: text } : {}),
    ...(how === "exact" ? { stream_exact: name } : {}),
    ...(how === "empty" ? { stream: emptyPattern } : {}),
    // An empty source is both "no filter" and a pattern that no null source matches: left out.
    ...(from === "pattern" && sourceText.text !== "" ? { source: sourceText } : {}),
    ...(from === "exact" ? { source_exact: source } : {}),
  }));
const someNames = fc.array(names.stream, { maxLength: 5 });
const selection: fc.Arbitrary<Selection> = fc.oneof(fc.record({ names: someNames }), fc.record({ filter }));
const cursor = fc.oneof(names.stream, fc.constantFrom("", "a", "b", "zz"));
const limit = fc.constantFrom(0, 1, 2, 3, 100);
const markers = fc.subarray<"__snapshot__" | "__tombstone__" | "Opened">([
  "__snapshot__",
  "__tombstone__",
  "Opened",
]);

/** Few filters at a time: with many, nothing is left to see. */
const query: fc.Arbitrary<QuerySpec> = fc
  .record({
    stream: maybe(names.pattern, 30),
    stream_exact: maybe(names.stream, 15),
    names: maybe(fc.array(names.eventName, { maxLength: 3 }), 15),
    before: maybe(idRef, 15),
    after: maybe(idRef, 15),
    limit: maybe(limit, 30),
    created_before: maybe(timeRef, 10),
    created_after: maybe(timeRef, 10),
    backward: maybe(fc.boolean()),
    correlation: maybe(fc.oneof(names.correlation, fc.constant("")), 10),
    with_snaps: maybe(fc.boolean()),
  })
  .map(present);
/** What load() and drains send. */
const load: fc.Arbitrary<QuerySpec> = fc
  .record({
    stream_exact: fc.constantFrom(...names.streams.slice(0, 3)),
    with_snaps: fc.constant(true),
    after: maybe(idRef, 50),
    limit: maybe(limit, 15),
    backward: maybe(fc.boolean(), 30),
    names: maybe(fc.array(names.eventName, { maxLength: 3 }), 5),
  })
  .map(present);

const entry: fc.Arbitrary<SubscribeInput> = fc
  .record({
    stream: names.stream,
    source: names.source,
    priority: maybe(priority),
    lane: maybe(names.lane),
    correlated_at: maybe(position, 80),
  })
  .map(present);
const entries = fc.oneof(
  { weight: 9, arbitrary: fc.uniqueArray(entry, { maxLength: 5, selector: (e) => e.stream }) },
  { weight: 1, arbitrary: fc.array(entry, { maxLength: 4 }) },
);
const lease: fc.Arbitrary<LeaseSpec> = fc
  .record({
    pick: fc.nat({ max: 12 }),
    stream: names.stream,
    by: maybe(names.worker, 20),
    at: position,
    due: maybe(fc.constantFrom(0, 1_000_000, FAR_FUTURE), 30),
  })
  .map(present);
const leases = fc.oneof(
  { weight: 9, arbitrary: fc.array(lease, { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant([]) },
);
const window = fc.oneof(timeRef, fc.constant({ literal: FAR_FUTURE }));
const target: fc.Arbitrary<TargetSpec> = fc.oneof(
  fc.record({ stream: names.stream, snapshot: payload, meta }, { requiredKeys: ["stream"] }),
  fc.record({ stream: names.stream, before: window, max_id: maybe(idRef, 40) }).map(present),
);
const restored: fc.Arbitrary<RestoredSpec> = fc
  .tuple(event, names.stream, meta, fc.date({ min: new Date(0), max: new Date(1e12), noInvalidDate: true }))
  .map(([spec, stream, m, created]) => ({ ...spec, stream, meta: m, created }));

const verb = <V extends Step["verb"], T>(name: V, fields: fc.Arbitrary<T>) =>
  fields.map((rest) => ({ verb: name, ...rest }));

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: verb("commit", fc.record({ commits: fc.array(commit, { minLength: 1, maxLength: 4 }) })),
  },
  {
    weight: 6,
    arbitrary: verb(
      "query",
      fc.record({
        query: fc.option(fc.oneof(query, load), { nil: undefined, freq: 15 }),
        throwAt: maybe(fc.nat({ max: 3 }), 10),
      }),
    ),
  },
  {
    weight: 5,
    arbitrary: verb(
      "subscribe",
      fc.record({
        entries,
        checkpoint: maybe(position),
        correlator: maybe(
          fc.record({
            key: fc.constantFrom("k1", "k2"),
            by: names.worker,
            millis: fc.constantFrom(0, -1, HOUR, HOUR),
          }),
        ),
      }),
    ),
  },
  {
    weight: 5,
    arbitrary: verb(
      "claim",
      fc.record(
        {
          lagging: fc.nat({ max: 9 }),
          leading: fc.nat({ max: 4 }),
          by: names.worker,
          millis,
          lane: names.lane,
        },
        { requiredKeys: ["lagging", "leading", "by", "millis"] },
      ),
    ),
  },
  { weight: 5, arbitrary: verb("ack", fc.record({ leases })) },
  {
    weight: 2,
    arbitrary: verb("block", fc.record({ leases, error: fc.constantFrom("", "boom", "'\\😀") })),
  },
  {
    weight: 1,
    arbitrary: verb("defer", fc.record({ on: selection, until: fc.constantFrom(0, 1_000_000, FAR_FUTURE) })),
  },
  { weight: 1, arbitrary: verb("reset", fc.record({ on: selection })) },
  { weight: 3, arbitrary: verb("unblock", fc.record({ on: selection })) },
  { weight: 1, arbitrary: verb("prioritize", fc.record({ filter, priority })) },
  {
    weight: 2,
    arbitrary: verb(
      "query_streams",
      fc
        .record({
          filter,
          source_matches: maybe(fc.array(names.stream, { maxLength: 2 }), 25),
          after: maybe(cursor, 25),
          limit: maybe(limit, 30),
        })
        .map(present),
    ),
  },
  {
    weight: 2,
    arbitrary: verb(
      "query_stats",
      fc.record({
        on: selection,
        options: fc
          .record({
            tail: maybe(fc.boolean()),
            count: maybe(fc.boolean()),
            names: maybe(fc.boolean()),
            exclude: maybe(markers, 30),
            before: maybe(idRef, 25),
            after: maybe(cursor, 25),
            limit: maybe(limit, 30),
          })
          .map(present),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: verb(
      "truncate",
      fc.record({ targets: fc.uniqueArray(target, { maxLength: 3, selector: (t) => t.stream }) }),
    ),
  },
  {
    weight: 1,
    arbitrary: verb(
      "restore",
      fc.record({
        keep: fc.nat({ max: 3 }),
        events: fc.array(restored, { maxLength: 3 }),
        throwAt: maybe(fc.nat({ max: 4 }), 30),
      }),
    ),
  },
  { weight: 1, arbitrary: verb("forget_pii", fc.record({ stream: names.stream })) },
);

/** Events, work to do, a held lease, perhaps a blocked stream: else too few sequences get to any of it. */
const held: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.array(healthy, { minLength: 1, maxLength: 5 }),
    fc.uniqueArray(names.stream, { minLength: 2, maxLength: 5 }),
    maybe(fc.constant("poison"), 40),
  )
  .map(([commits, marked, error]) => [
    { verb: "commit", commits },
    { verb: "subscribe", entries: marked.map((stream, k) => ({ stream, correlated_at: 3 + k })) },
    { verb: "claim", lagging: 3, leading: 1, by: "w1", millis: HOUR },
    ...(error ? [{ verb: "block" as const, leases: [{ pick: 0, stream: "a-1", at: 0 }], error }] : []),
  ]);

/** Many streams with work, of all priorities, each at a watermark of its own: what a claim has to choose from. */
const contended: fc.Arbitrary<Step[]> = fc
  .uniqueArray(
    fc.record({
      stream: fc.constantFrom(...names.streams),
      priority: fc.constantFrom(0, 1, 5, -5),
      at: fc.nat({ max: 9 }),
    }),
    { minLength: 4, maxLength: 10, selector: ({ stream }) => stream },
  )
  .map((rows) => [
    { verb: "subscribe", entries: rows.map(({ at: _, ...row }) => ({ ...row, correlated_at: 20 })) },
    { verb: "claim", lagging: 20, leading: 0, by: "w1", millis: HOUR },
    { verb: "ack", leases: rows.map(({ stream, at }, pick) => ({ pick, stream, at })) },
  ]);

const prelude = fc.oneof(
  { weight: 30, arbitrary: fc.constant([]) },
  { weight: 50, arbitrary: held },
  { weight: 20, arbitrary: contended },
);

export const sequence: fc.Arbitrary<Step[]> = fc
  .tuple(prelude, fc.array(step, { minLength: 1, maxLength: 12, size: "max" }))
  .map(([before, steps]) => [...before, ...steps]);
