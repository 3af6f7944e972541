/** A page of subscriptions in a requested order, each with the event that it gets next. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { Conditions } from "../postgres/conditions.ts";
import type { Query } from "../postgres/index.ts";
import { literal, type Names } from "../schema/names.ts";
import { CLAIM_ARMS } from "../schema/table-names.ts";
import { checkGiven, FLAG, LIMIT, oneOf, type Rules, TEXT, TEXTS } from "../values/rules.ts";
import { attemptsOfBlocked } from "./blocked.ts";
import { type Count, epochMs, instant, msBetween, optionalInstant, optionalText } from "./bounded.ts";
import {
  type EventRef,
  isPattern,
  lookFurther,
  nextEvents,
  type Pending,
  type Position,
  positionsOf,
} from "./next-events.ts";
import { pendingText } from "./pending.ts";
import { METACHARACTERS, type SourceKind, sourceKind } from "./sources.ts";

/** The states to select subscriptions by. See {@link SubscriptionsOptions}. */
export type SubscriptionState = "all" | "behind" | "blocked" | "leased" | "deferred" | "skipped";
/** What subscriptions are sorted by. */
export type SubscriptionSort = "stream" | "at" | "priority" | "lane" | "source" | "attempts";

/** Filters for subscriptions, and their order. A subscription must match every filter that is given. */
export type SubscriptionsOptions = {
  /**
   * `behind`: with events that wait, leased or not. `leased`: if more than 10,000 are pending, those that a claim would take
   * first are searched. `skipped`: with events that operators skipped. Default all.
   */
  readonly state?: SubscriptionState | undefined;
  /** Only these. */
  readonly streams?: readonly string[] | undefined;
  readonly lane?: string | undefined;
  readonly kind?: SourceKind | undefined;
  /** The name or the source contains it. */
  readonly contains?: string | undefined;
  /** Default `stream`. */
  readonly sort?: SubscriptionSort | undefined;
  readonly descending?: boolean | undefined;
  /** Subscriptions at most. Default 100. */
  readonly limit?: number | undefined;
  /** `next` of the page before. */
  readonly after?: string | undefined;
};

/** A subscription as it stands. `at` is its watermark, `correlatedAt` its work mark: ids of events. */
export type Subscription = {
  readonly stream: string;
  readonly source: string | undefined;
  readonly kind: SourceKind;
  readonly lane: string;
  readonly priority: number;
  readonly at: number;
  readonly correlatedAt: number | undefined;
  readonly blocked: boolean;
  readonly error: string | undefined;
  /** How often the event that it stands at was tried. */
  readonly attempts: number;
  readonly deferredUntil: Date | undefined;
  /** Holder of the lease, while it is valid. */
  readonly leasedBy: string | undefined;
  readonly leasedUntil: Date | undefined;
  /** The event that it gets next, or that it failed at. */
  readonly next: EventRef | undefined;
  /** Events up to the work mark that it has not handled. 0 and not exact if the time limit left no time to count. */
  readonly waiting: Count;
  /** ms since `next` was committed. */
  readonly lagMs: number | undefined;
  /** Events that operators skipped. */
  readonly skipped: number;
};

/** A page of subscriptions. */
export type SubscriptionsPage = {
  readonly subscriptions: readonly Subscription[];
  /** How many match. On a page after the first, those of the pages before may be left out. */
  readonly count: Count;
  /** `after` of the next page. */
  readonly next: string | undefined;
  /** 10,000 if not all subscriptions were searched; undefined if all were. */
  readonly searched: number | undefined;
};

const DEFAULT_LIMIT = 100;
/** Subscriptions that one page filters and sorts. */
const SCAN_LIMIT = 10_000;
/** Subscriptions whose next event one statement looks up, and ms after which no further statement begins. */
const CHUNK = 25;
const TIME_LIMIT_MS = 1_500;

const pending = (streams: string, condition: string, order: string, cap: string) =>
  `(select s.* from ${streams} s where not s.blocked and s.at < s.correlated_at and ${condition} order by ${order} limit ${cap})`;

/**
 * A UNION ALL of two selects, each in the order of its index, as in a claim: deferred subscriptions have an index of their
 * own.
 */
const behind = (streams: string, cap: string) =>
  `select * from (${pending(streams, `s.deferred_at is null and s.${CLAIM_ARMS.fair}`, "s.at", cap)}
    union all ${pending(streams, "s.deferred_at is not null", "s.deferred_at", cap)}) s limit ${cap}`;

/**
 * `now()` can be a condition of the index: the scan starts at the first one that is not due. But it is the time at which the
 * transaction began, so clock_timestamp() decides.
 */
const deferred = (streams: string, cap: string) =>
  pending(
    streams,
    "s.deferred_at is not null and s.deferred_at > now() and s.deferred_at > clock_timestamp()",
    "s.deferred_at",
    cap,
  );

/** Those that `held` of {@link pendingText} has. Each is looked up by its name. */
const leased = (streams: string, cap: string) =>
  `select s.* from held h cross join lateral (
    select * from ${streams} s where s.stream = any(array[h.stream]) order by s.stream limit 1) s
  where s.leased_until > clock_timestamp() limit ${cap}`;

const SORTS: Readonly<Record<SubscriptionSort, string>> = {
  stream: "s.stream using",
  at: "s.at",
  priority: "s.priority",
  lane: "s.lane",
  source: "s.source",
  attempts: "s.retry",
};

const RULES: Rules<SubscriptionsOptions> = {
  state: oneOf("all", "behind", "blocked", "leased", "deferred", "skipped"),
  streams: TEXTS,
  lane: TEXT,
  kind: oneOf("all", "stream", "pattern"),
  contains: TEXT,
  sort: oneOf(...Object.keys(SORTS)),
  descending: FLAG,
  limit: LIMIT,
  after: TEXT,
};

/** Where a page begins: after a name if the list is sorted by name, otherwise after a number of rows. */
function placeOf(after: string | undefined): { readonly name: string | undefined; readonly offset: number } {
  if (after?.startsWith("name:")) return { name: after.slice(5), offset: 0 };
  const offset = after?.startsWith("rows:") ? Number(after.slice(5)) : 0;
  return { name: undefined, offset: Number.isSafeInteger(offset) && offset > 0 ? offset : 0 };
}

/**
 * Conditions on `s`. If the caller gives names (the option `streams`), the rows are found by name, and these filter
 * them. Otherwise `behind`, `deferred` and `leased` use the selects above, each of which follows an index.
 */
const STATES = {
  all: "true",
  behind: "not s.blocked and s.at < s.correlated_at",
  blocked: "s.blocked",
  leased: "s.leased_by is not null and s.leased_until > clock_timestamp()",
  deferred: "not s.blocked and s.at < s.correlated_at and s.deferred_at > clock_timestamp()",
  skipped: "s.skipped is not null",
} as const satisfies Readonly<Record<SubscriptionState, string>>;

const isByName = ({ sort = "stream", descending, state = "all" }: SubscriptionsOptions) =>
  sort === "stream" && !descending && (state === "all" || state === "blocked" || state === "skipped");

/**
 * One row for each subscription found, and at least one row. Every row has `matched`, and `cut`: whether not all subscriptions
 * were read.
 */
export function subscriptionsQuery(names: Names, options: SubscriptionsOptions): Query {
  const {
    state = "all",
    streams,
    lane,
    kind,
    contains,
    sort = "stream",
    descending,
    limit = DEFAULT_LIMIT,
  } = options;
  const { name, offset } = placeOf(options.after);
  const where = new Conditions();
  const cap = `${SCAN_LIMIT + 1}`;
  const named = name !== undefined && isByName(options) ? ` and s.stream ~>~ ${where.param(name)}::text` : "";
  const byName = (condition: string) =>
    `select * from ${names.streams} s where ${condition}${named} order by s.stream using ~<~ limit ${cap}`;
  const looked = () => {
    if (streams)
      return byName(
        `s.stream in (select jsonb_array_elements_text(${where.param(JSON.stringify(streams))}::text::jsonb)) and ${STATES[state]}`,
      );
    if (state === "blocked") return byName("s.blocked");
    if (state === "skipped") return byName("s.skipped is not null");
    if (state === "leased") return leased(names.streams, cap);
    if (state === "deferred") return deferred(names.streams, cap);
    if (state === "behind") return behind(names.streams, cap);
    return byName("true");
  };
  const from = looked();
  const searched = state === "leased" && !streams;
  const matching = where.fork();
  if (lane !== undefined) matching.add(`s.lane = ${where.param(lane)}::text`);
  if (kind === "all") matching.add("s.source is null");
  if (kind === "pattern") matching.add(`s.source ~ ${literal(METACHARACTERS.source)}`);
  if (kind === "stream") matching.add(`s.source !~ ${literal(METACHARACTERS.source)}`);
  if (contains) {
    const text = where.param(contains.toLowerCase());
    matching.add(
      `(strpos(lower(s.stream), ${text}::text) > 0 or strpos(lower(s.source), ${text}::text) > 0)`,
    );
  }
  const by =
    sort === "stream"
      ? `s.stream using ${descending ? "~>~" : "~<~"}`
      : `${SORTS[sort]} ${descending ? "desc" : "asc"} nulls last, s.stream using ~<~`;
  return {
    text: `with ${searched ? `recursive ${pendingText(names.streams)}, ` : ""}looked as materialized (${from}), matched as materialized (
  select * from (select * from looked s limit ${SCAN_LIMIT}) s${matching.where}
)
select l.cut, l.matched, l.last, p.* from (
  select (select count(*) from looked) > ${SCAN_LIMIT}${searched ? " or (select cut from edge)" : ""} as cut, (select count(*) from matched) as matched,
    (select s.stream from (select * from looked limit ${SCAN_LIMIT}) s order by s.stream using ~>~ limit 1) as last) l
left join (select s.stream, s.source, s.lane, s.priority, s.at, s.correlated_at, s.blocked, s.error, s.retry,
    case when s.deferred_at > clock_timestamp() then ${epochMs("s.deferred_at")} end as deferred_at, coalesce(jsonb_array_length(s.skipped), 0) as skipped,
    case when s.leased_until > clock_timestamp() then s.leased_by end as leased_by,
    case when s.leased_until > clock_timestamp() then ${epochMs("s.leased_until")} end as leased_until,
    ${epochMs("clock_timestamp()")} as now, row_number() over (order by ${by}) as place
  from matched s order by ${by} limit ${where.param(limit + 1)}::bigint offset ${where.param(offset)}::bigint) p on true
order by p.place`,
    params: where.params,
  };
}

const summaryRow = z.object({ cut: z.boolean(), matched: z.coerce.number(), last: optionalText });

const row = z.object({
  stream: z.string(),
  source: optionalText,
  lane: z.string(),
  priority: z.number(),
  at: z.coerce.number(),
  correlated_at: z.coerce.number().nullable(),
  blocked: z.boolean(),
  error: optionalText,
  retry: z.number(),
  deferred_at: optionalInstant,
  leased_by: optionalText,
  leased_until: optionalInstant,
  skipped: z.number(),
  now: instant,
});

const NOTHING: Pending = { next: undefined, events: { count: 0, exact: true } };
const UNKNOWN: Pending = { next: undefined, events: { count: 0, exact: false } };

/** Looks up the next events, as many as the time allows. The result is in the order of `positions`. */
async function pendingOf(context: Context, positions: readonly Position[]): Promise<Pending[]> {
  const found: Pending[] = positions.map(() => NOTHING);
  const behind = positions.flatMap((position, index) =>
    (position.correlatedAt ?? position.at) > position.at ? [{ position, index }] : [],
  );
  const plain = behind.filter(({ position }) => !isPattern(position));
  const patterns = behind.filter(({ position }) => isPattern(position));
  const end = performance.now() + TIME_LIMIT_MS;
  for (let from = 0; from < plain.length; from += CHUNK) {
    const chunk = plain.slice(from, from + CHUNK);
    const late = performance.now() > end;
    const pending = late
      ? []
      : await nextEvents(
          context,
          chunk.map(({ position }) => position),
        );
    for (const [n, { index }] of chunk.entries()) found[index] = pending[n] ?? UNKNOWN;
  }
  const searched = await nextEvents(
    context,
    patterns.map(({ position }) => position),
    undefined,
    end,
  );
  for (const [n, { index }] of patterns.entries()) found[index] = searched[n] ?? UNKNOWN;
  return lookFurther(context, positions, found, { end });
}

export async function subscriptions(
  context: Context,
  options: SubscriptionsOptions = {},
): Promise<SubscriptionsPage> {
  checkGiven("subscriptions", options, RULES);
  const { limit = DEFAULT_LIMIT } = options;
  // Without statistics the planner would sort all subscriptions.
  const rows = await readByIndex(context.connections, "admin", subscriptionsQuery(context.names, options));
  const { cut, matched, last } = summaryRow.parse(rows[0]);
  const all = z.array(row).parse(rows.filter(({ stream }) => stream !== null));
  const shown = all.slice(0, limit);
  const pending = await pendingOf(context, positionsOf(shown));
  return {
    subscriptions: shown.map((found, index) => toSubscription(found, pending[index] ?? UNKNOWN)),
    count: { count: matched, exact: !cut },
    next: nextOf(options, {
      more: all.length > limit,
      shown: shown.map(({ stream }) => stream),
      last: cut ? last : undefined,
    }),
    searched: cut ? SCAN_LIMIT : undefined,
  };
}

function nextOf(
  options: SubscriptionsOptions,
  {
    more,
    shown,
    last,
  }: { readonly more: boolean; readonly shown: readonly string[]; readonly last: string | undefined },
): string | undefined {
  if (isByName(options)) {
    const name = more ? shown.at(-1) : last;
    return name === undefined ? undefined : `name:${name}`;
  }
  return more ? `rows:${placeOf(options.after).offset + shown.length}` : undefined;
}

function toSubscription(found: z.infer<typeof row>, { next, events }: Pending): Subscription {
  const { stream, source, lane, priority, at, blocked, error, skipped } = found;
  return {
    ...{ stream, source, kind: sourceKind(source), lane, priority, at },
    correlatedAt: found.correlated_at ?? undefined,
    ...{ blocked, error },
    attempts: found.blocked ? attemptsOfBlocked(found.retry) : found.retry + 1,
    deferredUntil: found.deferred_at,
    leasedBy: found.leased_by,
    leasedUntil: found.leased_until,
    next,
    waiting: events,
    lagMs: next && Math.max(0, msBetween(next.created, found.now)),
    skipped,
  };
}
