/** Runs one step on both stores and compares what they say. */
import type { BlockedLease, Lease, Query, QueryStreams, Schemas, Store, StreamFilter } from "@rotorsoft/act";
import { ValidationError } from "@rotorsoft/act";
import { CallbackError, type Outcome, outcome, withoutNull } from "./outcome.ts";
import { copy } from "./reference.ts";
import { describeLease, type Event, mapValues, type Session } from "./session.ts";
import type { Filter, IdRef, QuerySpec, Selection, Step } from "./steps.ts";

type Of<V extends Step["verb"]> = Extract<Step, { readonly verb: V }>;
type Runner<V extends Step["verb"]> = (s: Session, step: Of<V>) => Promise<void>;

const byStream = <T extends { readonly stream: string }>(leases: readonly T[]): T[] =>
  [...leases].sort((a, b) => (a.stream < b.stream ? -1 : 1));

/** For verbs whose arguments and results are the same in both stores. */
async function same<T>(s: Session, verb: string, run: (store: Store) => Promise<T>): Promise<void> {
  const [subject, reference] = await Promise.all([
    outcome(() => run(s.subject)),
    outcome(() => run(s.reference)),
  ]);
  s.compare(verb, subject, reference);
}

/** The same, but a pattern beyond the portable grammar may be refused (Q8), with nothing done. */
async function sameUnlessRefused<T>(
  s: Session,
  verb: string,
  rich: boolean,
  run: (store: Store) => Promise<T>,
): Promise<void> {
  const subject = await outcome(() => run(s.subject));
  if (rich && "error" in subject && subject.error instanceof ValidationError) return;
  s.compare(verb, subject, await outcome(() => run(s.reference)));
}

const commit: Runner<"commit"> = async (s, { commits }) => {
  const calls = commits.map(({ stream, events, meta, guard }) => ({
    stream,
    events: events.map((event) => ({ ...event })),
    meta,
    expected: guard === undefined ? undefined : s.reference.head(stream) + guard,
  }));
  // All in one tick: they may travel as one group, yet each must end as if it were alone, in this order.
  const subjects = await Promise.all(
    calls.map((c) =>
      outcome(() => s.subject.commit<Schemas>(c.stream, copy(c.events), copy(c.meta), c.expected)),
    ),
  );
  for (const [i, c] of calls.entries()) {
    const subject: Outcome<Event[]> = subjects[i] ?? { value: [] };
    const reference = await outcome(() =>
      s.reference.commit<Schemas>(c.stream, c.events, c.meta, c.expected),
    );
    if ("error" in subject || "error" in reference) {
      s.compare("commit", subject, reference);
      continue;
    }
    for (const [k, event] of subject.value.entries()) {
      const twin = reference.value[k];
      if (twin) s.written(event, twin);
    }
    const stamped = reference.value.map((e, k) => ({
      ...withoutNull(e),
      created: subject.value[k]?.created,
    }));
    s.compare("commit", { value: subject.value.map(s.event) }, { value: stamped });
  }
};

function queryOf(s: Session, spec: QuerySpec, side: "subject" | "reference"): Query {
  const { stream, stream_exact, before, after, created_before, created_after, ...rest } = spec;
  const query: Record<string, unknown> = { ...rest };
  if (stream_exact !== undefined) Object.assign(query, { stream: stream_exact, stream_exact: true });
  else if (stream !== undefined) query.stream = stream.text;
  if (before !== undefined) query.before = above(s, before, side);
  if (after !== undefined) query.after = upTo(s, after, side);
  if (created_before !== undefined) query.created_before = s.time(created_before);
  if (created_after !== undefined) query.created_after = s.time(created_after);
  return query;
}

const upTo = (s: Session, ref: IdRef, side: "subject" | "reference") =>
  side === "subject" ? s.id(ref) : s.ids.floor(s.id(ref));
const above = (s: Session, ref: IdRef, side: "subject" | "reference") =>
  side === "subject" ? s.id(ref) : s.ids.ceil(s.id(ref));

const query: Runner<"query"> = async (s, { query: spec, throwAt }) => {
  const run = (side: "subject" | "reference") => async () => {
    const events: Event[] = [];
    const collect = async (seen: Event) => {
      if (events.length === throwAt) throw new CallbackError("from the callback");
      events.push(side === "subject" ? s.event(seen) : withoutNull(seen));
      await undefined;
      if (events.at(-1)?.id !== (side === "subject" ? s.ids.toReference(seen.id) : seen.id)) {
        throw new Error("Q1: the next event came before the callback was done");
      }
    };
    const found = await s[side].query<Schemas>(collect, spec && queryOf(s, spec, side));
    return { found, events };
  };
  const subject = await outcome(run("subject"));
  const rich = spec?.stream_exact === undefined && spec?.stream?.rich === true;
  if (rich && "error" in subject && subject.error instanceof ValidationError) return;
  s.compare("query", subject, await outcome(run("reference")));
};

const subscribe: Runner<"subscribe"> = (s, { entries, checkpoint, correlator }) =>
  same(s, "subscribe", (store) => store.subscribe(copy([...entries]), checkpoint, correlator));

const claim: Runner<"claim"> = async (s, { verb: _, ...asked }) => {
  const { lagging, leading, by, millis, lane } = asked;
  const subject = await outcome(() => s.subject.claim(lagging, leading, by, millis, lane));
  if ("error" in subject) return s.compare("claim", subject, { value: "leases" });
  const { illegal, leases } = s.reference.grant(subject.value, asked);
  if (illegal) throw new Error(illegal);
  s.leases.push(...leases);
  s.compare("claim", { value: byStream(subject.value) }, { value: byStream(leases) });
};

const ack: Runner<"ack"> = (s, { leases: specs }) => {
  const leases: Lease[] = specs.map((spec) => s.lease(spec));
  return same(s, "ack", async (store) => byStream(await store.ack(copy(leases))));
};

const block: Runner<"block"> = (s, { leases: specs, error }) => {
  const leases: BlockedLease[] = specs.map((spec) => ({ ...s.lease({ ...spec, due: undefined }), error }));
  return same(s, "block", async (store) => byStream(await store.block(copy(leases))));
};

function filterOf({ stream, stream_exact, source, source_exact, ...rest }: Filter): StreamFilter {
  return {
    ...rest,
    ...(stream ? { stream: stream.text } : {}),
    ...(stream_exact === undefined ? {} : { stream: stream_exact, stream_exact: true }),
    ...(source ? { source: source.text } : {}),
    ...(source_exact === undefined ? {} : { source: source_exact, source_exact: true }),
  };
}
const isRich = ({ stream, source }: Filter) => stream?.rich === true || source?.rich === true;
const selected = (on: Selection) => ("names" in on ? [...on.names] : filterOf(on.filter));
const isRichSelection = (on: Selection) => "filter" in on && isRich(on.filter);

const defer: Runner<"defer"> = (s, { on, until }) =>
  sameUnlessRefused(s, "defer", isRichSelection(on), (store) => store.defer(selected(on), until));

const reset: Runner<"reset"> = (s, { on }) =>
  sameUnlessRefused(s, "reset", isRichSelection(on), (store) => store.reset(selected(on)));

const unblock: Runner<"unblock"> = (s, { on }) =>
  sameUnlessRefused(s, "unblock", isRichSelection(on), (store) => store.unblock(selected(on)));

const prioritize: Runner<"prioritize"> = (s, { filter, priority }) =>
  sameUnlessRefused(s, "prioritize", isRich(filter), (store) => store.prioritize(filterOf(filter), priority));

const query_streams: Runner<"query_streams"> = (s, { verb: _, filter, ...rest }) => {
  const query: QueryStreams = { ...filterOf(filter), ...rest };
  return sameUnlessRefused(s, "query_streams", isRich(filter), async (store) => {
    const positions: unknown[] = [];
    const { count } = await store.query_streams((p) => positions.push(describeLease(p)), query);
    return { count, positions };
  });
};

const query_stats: Runner<"query_stats"> = (s, { on, options }) => {
  const narrow = ({ stream, stream_exact }: Filter) => filterOf({ stream, stream_exact });
  const input = "names" in on ? [...on.names] : narrow(on.filter);
  const rich = "filter" in on && on.filter.stream?.rich === true;
  return sameUnlessRefused(s, "query_stats", rich, async (store) => {
    const side = store === s.subject ? "subject" : "reference";
    const before = options.before && above(s, options.before, side);
    const stats = await store.query_stats<Schemas>(input, { ...options, before });
    const event = (e: Event) => (side === "subject" ? s.event(e) : e);
    return mapValues(stats, (x) => ({ ...x, head: event(x.head), tail: x.tail && event(x.tail) }));
  });
};

const truncate: Runner<"truncate"> = async (s, { targets: specs }) => {
  const targets = (side: "subject" | "reference") =>
    specs.map(({ before, max_id, ...rest }) => ({
      ...copy(rest),
      ...(before ? { before: s.time(before) } : {}),
      ...(max_id ? { max_id: upTo(s, max_id, side) } : {}),
    }));
  const subject = await outcome(() => s.subject.truncate(targets("subject")));
  if ("error" in subject) return s.compare("truncate", subject, { value: "seeds" });
  const reference = await s.reference.truncate(targets("reference"));
  // Seeds are new events, in whatever order of ids; a windowed target's snapshot is an old one.
  const seeds = [...subject.value.values()]
    .filter(({ before }) => before === undefined)
    .map(({ committed }) => committed)
    .sort((a, b) => a.id - b.id);
  for (const [k, seed] of seeds.entries()) {
    const twin = reference.get(seed.stream);
    if (!twin) throw new Error(`truncate returned ${seed.stream}, which was not asked for`);
    if (specs.filter((t) => !t.before)[k]?.stream !== seed.stream) {
      throw new Error("truncate wrote its seeds in another order than the targets came in");
    }
    s.written(seed, twin.committed);
    twin.committed = { ...twin.committed, created: seed.created };
  }
  // Whether the surviving snapshot of a windowed target shows its pii, no line says.
  const described = (result: typeof reference, event: (e: Event) => Event) =>
    [...result]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([stream, r]) => ({
        ...r,
        stream,
        committed: { ...event(r.committed), pii: undefined },
      }));
  s.compare(
    "truncate",
    { value: described(subject.value, s.event) },
    { value: described(reference, (e) => e) },
  );
};

const restore: Runner<"restore"> = async (s, { keep, events, throwAt }) => {
  const log: Event[] = [];
  await s.reference.query<Schemas>((event) => log.push(event));
  const source: Event[] = keep === 0 ? [] : log.filter((_, k) => (k + 1) % (keep + 1) !== 0);
  for (const [k, event] of events.entries()) {
    const version = (source.findLast((e) => e.stream === event.stream)?.version ?? -1) + 1;
    source.push({ ...copy(event), id: 1_000 + k, version });
  }
  const run = (store: Session["subject"], first: number) => async () => {
    const ids: number[] = [];
    await store.restore(async (insert) => {
      for (const event of source) {
        if (ids.length === throwAt) throw new CallbackError("from the driver");
        ids.push((await insert(copy(event))) - first);
      }
      if (throwAt !== undefined && throwAt >= source.length) throw new CallbackError("at the end");
    });
    return ids;
  };
  const subject = await outcome(run(s.subject, s.firstId));
  const reference = await outcome(run(s.reference, 0));
  s.compare("restore", subject, reference);
  if ("value" in reference) {
    const renumbered = source.map(({ created }, k) => ({ id: k, created }));
    s.restored(
      renumbered,
      reference.value.map((k) => k + s.firstId),
    );
  }
};

const forget_pii: Runner<"forget_pii"> = (s, { stream }) =>
  same(s, "forget_pii", async (store) => store.forget_pii?.(stream));

const runners: { [V in Step["verb"]]: Runner<V> } = {
  commit,
  query,
  subscribe,
  claim,
  ack,
  block,
  defer,
  reset,
  unblock,
  prioritize,
  query_streams,
  query_stats,
  truncate,
  restore,
  forget_pii,
};

/** One step, then everything that must be equal after it. */
export async function runStep<V extends Step["verb"]>(session: Session, step: Of<V>): Promise<void> {
  const run: Runner<V> = runners[step.verb];
  await run(session, step);
  await session.check();
}
