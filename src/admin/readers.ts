/** Which subscriptions read a stream, by name or by a pattern, and how much of it each has still to handle. */
import { z } from "zod";
import type { Context } from "../context.ts";
import { literal, type Names } from "../schema/names.ts";
import { SourceMatches } from "../subscriptions/source-matches.ts";
import { checkArgument, NAME } from "../values/rules.ts";
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

/** The subscriptions that read a stream. */
export type Readers = {
  readonly readers: readonly Reader[];
  /** There may be more readers, because not all subscriptions were read. */
  readonly cut: boolean;
};

/** Subscriptions that are looked at for a pattern, those of them that are compared, and readers at most. */
const SCAN_LIMIT = 10_000;
const PATTERNS = 1_000;
const READERS = 100;

const row = z.object({
  stream: z.string(),
  source: optionalText,
  lane: z.string(),
  at: z.coerce.number(),
  correlated_at: z.coerce.number().nullable(),
  blocked: z.boolean(),
  cut: z.boolean(),
});

/** $1 the stream */
export const readersText = ({ streams }: Names): string => `with looked as materialized (
  select s.stream, s.source, s.lane, s.at, s.correlated_at, s.blocked from ${streams} s order by s.stream using ~<~ limit ${SCAN_LIMIT + 1}
), own as (
  select s.stream, s.source, s.lane, s.at, s.correlated_at, s.blocked from ${streams} s
  where s.stream = $1::text and (s.source is null or s.source = $1::text)
), found as (
  select * from looked l where l.source = $1::text or l.source is null or l.source ~ ${literal(METACHARACTERS.source)}
  limit ${PATTERNS + 1}
)
select f.*, (select count(*) > ${SCAN_LIMIT} from looked) or (select count(*) > ${PATTERNS} from found) as cut
from (select * from found union select * from own) f order by f.stream using ~<~`;

/**
 * The rows whose source is no pattern, or one that matches the stream. JavaScript may take minutes to match a stored pattern,
 * in which this process would do nothing else, so {@link SourceMatches} decides: a pattern that cannot be decided counts.
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

export async function readers(context: Context, stream: string): Promise<Readers> {
  checkArgument("readers", "stream", stream, NAME);
  const { connections, names } = context;
  const rows = z
    .array(row)
    .parse(await connections.read("admin", { text: readersText(names), params: [stream] }));
  const all = await thatRead(context, rows, stream);
  const found = all.slice(0, READERS);
  const pending = await nextEvents(
    context,
    found.map(({ stream: of, at, correlated_at }) => ({
      stream: of,
      source: stream,
      at,
      correlatedAt: correlated_at ?? undefined,
    })),
  );
  return {
    readers: found.map(({ cut, correlated_at, ...reader }, index) => ({
      ...reader,
      kind: sourceKind(reader.source),
      correlatedAt: correlated_at ?? undefined,
      waiting: pending[index]?.events ?? { count: 0, exact: false },
    })),
    cut: all.length > READERS || rows[0]?.cut === true,
  };
}
