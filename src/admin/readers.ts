/**
 * Which subscriptions read a stream: by name, by a pattern, or because they read every stream; and how much of it each has
 * still to handle.
 */
import * as z from "zod";
import type { Context } from "../context.ts";
import { readByIndex } from "../postgres/by-index.ts";
import { literal, type Names } from "../schema/names.ts";
import { SourceMatches } from "../subscriptions/source-matches.ts";
import { checkArgument, checkGiven, NAME, type Rules, TEXT } from "../values/rules.ts";
import { type Count, optionalText } from "./bounded.ts";
import { nextEvents } from "./next-events.ts";
import { METACHARACTERS, type SourceKind, sourceKind } from "./sources.ts";

/** A subscription that reads the stream. `at` is its watermark. */
export type Reader = {
  readonly stream: string;
  readonly source: string | undefined;
  readonly kind: SourceKind;
  readonly lane: string;
  readonly at: number;
  readonly correlatedAt: number | undefined;
  readonly blocked: boolean;
  /** Events of the stream up to the work mark that it has not handled. */
  readonly waiting: Count;
};

/**
 * At most 100 subscriptions that read a stream, in byte order of their names. On the first page the one that is named like
 * the stream may follow them.
 */
export type Readers = {
  readonly readers: readonly Reader[];
  /** There are more than 100 readers, or the time was up and there may be more. */
  readonly cut: boolean;
  /** If there may be more: `after` of the next page. */
  readonly next: string | undefined;
};

/** Which subscriptions to look at. */
export type ReadersOptions = {
  /** Only those after this one, in byte order of their names: for the next page. */
  readonly after?: string | undefined;
};

/** A subscription that reads the stream. `at` is its watermark, `correlatedAt` the id up to which it has work. */
export type StreamReader = Omit<Reader, "waiting">;

/**
 * The most subscriptions that one statement reads, and the most that it returns. No index finds subscriptions by their
 * source, because each ack would have to update it. So they are read in order of name, page by page.
 */
const PAGE = 10_000;
const CANDIDATES = 1_000;
/** No page begins later than this many ms after the first. */
const TIME_LIMIT_MS = 1_500;
const READERS = 100;

const row = z.object({
  stream: z.string(),
  source: optionalText,
  lane: z.string(),
  at: z.coerce.number(),
  correlated_at: z.coerce.number().nullable(),
  blocked: z.boolean(),
});

const pageRow = z.object({ looked: z.coerce.number(), last: optionalText });

const COLUMNS = "s.stream, s.source, s.lane, s.at, s.correlated_at, s.blocked";

/** The subscriptions of a page whose source may match. Each row has `looked` and `last`. $1 the stream, $2 `after`, if given */
export const readersText = (
  { streams }: Names,
  after: string | undefined,
): string => `with looked as materialized (
  select ${COLUMNS} from ${streams} s${after === undefined ? "" : " where s.stream ~>~ $2::text"} order by s.stream using ~<~ limit ${PAGE}
), found as materialized (
  select * from looked l where l.source = $1::text or l.source is null or l.source ~ ${literal(METACHARACTERS.source)}
  order by l.stream using ~<~ limit ${CANDIDATES}
)
select page.looked, page.last, f.* from (
  select (select count(*) from looked) as looked, (select l.stream from looked l order by l.stream using ~>~ limit 1) as last) page
left join found f on true order by f.stream using ~<~`;

/** The subscription that is named like the stream. $1 the stream */
export const namesakeText = ({ streams }: Names): string =>
  `select ${COLUMNS} from ${streams} s where s.stream = $1::text`;

/**
 * The rows that read the stream: without a source, with its name, or with a pattern that matches it. JavaScript may take
 * minutes to match a stored pattern, and would block the process meanwhile. So {@link SourceMatches} decides; a pattern that
 * it cannot decide counts as a match.
 */
async function thatRead<R extends { readonly source: string | undefined }>(
  { connections }: Context,
  rows: readonly R[],
  stream: string,
): Promise<R[]> {
  const matches = new SourceMatches([stream]);
  const patterns = rows.map(({ source }) => source).filter((source) => sourceKind(source) === "pattern");
  await matches.decide(connections, patterns);
  return rows.filter(({ source }) =>
    sourceKind(source) === "pattern" ? matches.has(source) : source === undefined || source === stream,
  );
}

type Row = z.infer<typeof row>;
type Found = { readonly rows: readonly Row[]; readonly next: string | undefined };

/** Reads pages until there are enough readers, no more subscriptions, or no more time. */
async function lookFor(context: Context, stream: string, from: string | undefined): Promise<Found> {
  const { connections, names } = context;
  const end = performance.now() + TIME_LIMIT_MS;
  const found: Row[] = [];
  for (let after = from; ; ) {
    const text = readersText(names, after);
    const params = after === undefined ? [stream] : [stream, after];
    const rows = await readByIndex(connections, "admin", { text, params });
    const { looked, last } = pageRow.parse(rows[0]);
    const candidates = z.array(row).parse(rows.filter(({ stream: name }) => name !== null));
    found.push(...(await thatRead(context, candidates, stream)));
    const full = candidates.length === CANDIDATES;
    after = full ? candidates.at(-1)?.stream : last;
    if (found.length > READERS) return { rows: found.slice(0, READERS), next: found[READERS - 1]?.stream };
    if (!full && looked < PAGE) return { rows: found, next: undefined };
    if (performance.now() > end) return { rows: found, next: after };
  }
}

/** The readers whose names come after `after`. The one that is named like the stream is always on the first page. */
export async function readersOf(
  context: Context,
  stream: string,
  { after }: ReadersOptions = {},
): Promise<Found> {
  const { rows, next } = await lookFor(context, stream, after);
  const others = rows.filter(({ stream: name }) => name !== stream);
  if (after !== undefined) return { rows: others, next };
  if (next === undefined || others.length < rows.length) return { rows, next };
  const { connections, names } = context;
  const namesake = await connections.read("admin", { text: namesakeText(names), params: [stream] });
  return { rows: [...rows, ...(await thatRead(context, z.array(row).parse(namesake), stream))], next };
}

export const toReader = ({ correlated_at, ...reader }: Row): StreamReader => ({
  ...reader,
  kind: sourceKind(reader.source),
  correlatedAt: correlated_at ?? undefined,
});

const RULES: Rules<ReadersOptions> = { after: TEXT };

export async function readers(
  context: Context,
  stream: string,
  options: ReadersOptions = {},
): Promise<Readers> {
  checkArgument("readers", "stream", stream, NAME);
  checkGiven("readers", options, RULES);
  const { rows, next } = await readersOf(context, stream, options);
  const found = rows.map(toReader);
  const pending = await nextEvents(
    context,
    // A name may read like a pattern. As one, it would count the events of other streams, and search the log for them.
    found.map(({ stream: of, at, correlatedAt }) => ({
      ...{ stream: of, source: stream, exact: true },
      ...{ at, correlatedAt },
    })),
  );
  return {
    readers: found.map((reader, index) => ({
      ...reader,
      waiting: pending[index]?.events ?? { count: 0, exact: false },
    })),
    cut: next !== undefined,
    next,
  };
}
