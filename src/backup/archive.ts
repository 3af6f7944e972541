/**
 * archive(): moves events of closed streams, or events that a snapshot has made superfluous, out of the log.
 *
 * Events are written to a file of the target first. The file is then read back, its events are counted, and their
 * checksum is compared. Then its manifest is written. Only then are rows deleted, and only those that are in the file:
 *
 * - A closed stream ends with a tombstone, after which the framework commits nothing. The tombstone stays.
 * - Before a snapshot no row of its stream is ever added, except by an import. The snapshot stays.
 * - A stream with events that a subscription is still to handle, or that no correlator has read, stays as it is.
 *
 * If an import, a restore or forget_pii() has written some of these rows meanwhile, nothing of the file is deleted. On Citus
 * only added events are noticed: see {@link deleteQuery}.
 *
 * If it is interrupted, the next call starts again: events that are still in the log are archived again.
 *
 * States of a file: written → verified → its events are deleted from the log.
 */
import { randomUUID } from "node:crypto";
import type { Context } from "../context.ts";
import { WITHOUT_SORT } from "../postgres/by-index.ts";
import type { Query, Row } from "../postgres/index.ts";
import { lockAppends } from "../schema/append-lock.ts";
import type { Names } from "../schema/names.ts";
import { isRecord } from "../values/json-dates.ts";
import {
  COUNT,
  checkGiven,
  DATE,
  FLAG,
  FUNCTION,
  oneOf,
  type Rule,
  type Rules,
  required,
} from "../values/rules.ts";
import { awaitedStreams } from "./awaited.ts";
import { type Compression, compress, compressionOf, decompress, ENDINGS } from "./compression.ts";
import { cutLists } from "./cuts.ts";
import { LINE, LineReader } from "./event-lines.ts";
import { ImportError } from "./event-order.ts";
import { exportRows } from "./export.ts";
import type { ArchiveTarget } from "./folder.ts";
import { linesOf } from "./lines.ts";
import { type Cut, cutParams, idsBefore, StreamPages } from "./stream-pages.ts";
import { NEXT_TRANSACTION, writtenSince } from "./written-since.ts";

/** What `archive()` moves, and where to. */
export type ArchiveOptions = {
  readonly target: ArchiveTarget;
  /**
   * Archives the events before the newest snapshot of each stream that is older than this time. Default: the events of
   * closed streams.
   */
  readonly before?: Date | undefined;
  /** Default `zstd`. */
  readonly compression?: Compression | undefined;
  /** Only counts the events that would be archived. */
  readonly dryRun?: boolean | undefined;
  /** Streams of one file. Default 1,000. */
  readonly streamsPerFile?: number | undefined;
  /** Called after each file, once its events are deleted from the log. */
  readonly onProgress?: ((progress: ArchiveProgress) => void) | undefined;
};

/** Streams and events archived so far by this call, and the name of the last file. */
export type ArchiveProgress = { readonly streams: number; readonly events: number; readonly file: string };

/**
 * What lies beside an archived file as `<file>.manifest.json`. `archivedAt` is an ISO time; `firstId` and `lastId` are
 * the ids of its first and last event; `table` is `schema.table` of the log.
 */
export type ArchiveManifest = {
  readonly file: string;
  readonly events: number;
  readonly streams: number;
  readonly firstId: number;
  readonly lastId: number;
  /** Of the text of the file, uncompressed, without its header and footer. */
  readonly sha256: string;
  readonly archivedAt: string;
  readonly table: string;
};

/** What `archive()` has moved. With `dryRun` it counts what would be moved, and `files` is empty. */
export type Archived = {
  readonly streams: number;
  readonly events: number;
  /** Streams that stay, because a subscription is still to handle some of their events, or no correlator has read them. */
  readonly awaited: number;
  readonly files: readonly ArchiveManifest[];
};

const TARGET: Rule = {
  takes: "an object with the functions write and read, such as folder(path)",
  test: (value) => isRecord(value) && typeof value.write === "function" && typeof value.read === "function",
};
const RULES: Rules<ArchiveOptions> = {
  target: required(TARGET),
  before: DATE,
  compression: oneOf("zstd", "gzip", "none"),
  dryRun: FLAG,
  streamsPerFile: COUNT,
  onProgress: FUNCTION,
};
const STREAMS_PER_FILE = 1_000;

/** `pgSnapshot`: PostgreSQL's transaction snapshot from before the file was begun. `events`: how many the file has. */
type Since = { readonly pgSnapshot: string; readonly events: number };

/**
 * Deletes what was written to the file. The cut must still be there. `changed` rows were written since the file was
 * begun, so the file lacks them, or has them as they were: then nothing is deleted. On Citus another node may have
 * written them, and its transaction ids cannot be compared with PostgreSQL's snapshot. There `changed` is only how
 * many more rows there are than the file has events.
 *
 * $1 streams, $2 ids of the cuts, $3 the last archived id, $4 PostgreSQL's snapshot from before the file was begun,
 * $5 events of the file
 */
function deleteQuery(names: Names, cuts: readonly Cut[], lastId: number, since: Since): Query {
  const { events } = names;
  const ids = "any((select ids from written)::bigint[])";
  const cutIsThere = `exists (select 1 from ${events} k where k.stream = c.stream and k.id = c.id)`;
  const text = (changed: string) => `with written as materialized (
  select array(select id from (${idsBefore(names, ` and e.id <= $3::bigint and ${cutIsThere}`)}) x) as ids
), changed as materialized (${changed}
), deleted as (
  delete from ${events} e where e.id = ${ids} and (select changed from changed) = 0
  returning 1
) select (select count(*) from deleted)::int as deleted, cardinality(ids) as found, changed from written cross join changed`;
  return {
    text: text(`
  select count(*)::int as changed from ${events} e cross join (select ${NEXT_TRANSACTION} as next) n
  where e.id = ${ids} and ${writtenSince("e", "$4", "n.next")} and $5::int is not null`),
    citus: () =>
      text(`
  select greatest(0, cardinality(ids) - $5::int) as changed from written where $4::text is not null`),
    params: [...cutParams(cuts), lastId, since.pgSnapshot, since.events],
    bindFirst: true,
  };
}

/**
 * The archived file cannot be read back, or events were written meanwhile, or a trigger kept them from being deleted. The
 * message says what was deleted.
 */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

export async function archive(context: Context, options: ArchiveOptions): Promise<Archived> {
  checkGiven("archive", options, RULES);
  const perFile = options.streamsPerFile ?? STREAMS_PER_FILE;
  const files: ArchiveManifest[] = [];
  let [streams, events, awaited] = [0, 0, 0];
  for await (const found of cutLists(context, perFile, options.before)) {
    const staying = await awaitedStreams(context, found);
    awaited += staying.size;
    const cuts = found.filter(({ stream }) => !staying.has(stream));
    streams += cuts.length;
    if (options.dryRun) events += await countBefore(context, cuts);
    else if (cuts.length > 0) {
      const manifest = await archiveStreams(context, cuts, options);
      files.push(manifest);
      events += manifest.events;
      await options.onProgress?.({ streams, events, file: manifest.file });
    }
  }
  return { streams, events, awaited, files };
}

async function countBefore({ names, connections }: Context, cuts: readonly Cut[]): Promise<number> {
  const [row] = await connections.readWith("archive", WITHOUT_SORT, {
    text: `select count(*) as events from (${idsBefore(names)}) x`,
    params: cutParams(cuts),
  });
  return Number(row?.events);
}

async function archiveStreams(
  context: Context,
  cuts: readonly Cut[],
  { target, compression = "zstd" }: ArchiveOptions,
): Promise<ArchiveManifest> {
  const { names, connections } = context;
  const file = `${names.table}-${new Date().toISOString().replaceAll(/[:.]/g, "")}-${randomUUID().slice(0, 8)}.jsonl${ENDINGS[compression]}`;
  const written = { events: 0, firstId: 0, lastId: 0, sha256: "" };
  const [now] = await connections.read("archive", { text: "select pg_current_snapshot()::text as snapshot" });
  const text = exportRows(context, new StreamPages(names, connections, cuts, LINE).page, (end) =>
    Object.assign(written, end),
  );
  await target.write(file, compress(text, compression));
  await verify(target, file, written);
  const manifest: ArchiveManifest = {
    file,
    events: written.events,
    streams: cuts.length,
    firstId: written.firstId,
    lastId: written.lastId,
    sha256: written.sha256,
    archivedAt: new Date().toISOString(),
    table: `${names.schema}.${names.table}`,
  };
  await target.write(`${file}.manifest.json`, bytesOf(`${JSON.stringify(manifest, undefined, 2)}\n`));
  const since = { pgSnapshot: String(now?.snapshot), events: written.events };
  const deletion = [WITHOUT_SORT, lockAppends(names, 0), deleteQuery(names, cuts, written.lastId, since)];
  for (let left = TRIES; ; ) {
    const [, , rows] = await connections.transaction("archive", deletion);
    refuseChanged(file, rows?.[0]);
    const kept = Number(rows?.[0]?.found) - Number(rows?.[0]?.deleted);
    if (!(kept > 0)) return manifest;
    if (--left === 0) throw keptBy(names, file, `${kept} of ${written.events}`);
  }
}

/**
 * A writer that does not hold the append lock, such as act-pg or SQL by hand, may delete some of the events at the same
 * moment. The next try does not find these. A trigger keeps events every time.
 */
const TRIES = 5;

function refuseChanged(file: string, row: Row | undefined): void {
  const changed = Number(row?.changed);
  if (changed > 0)
    throw new ArchiveError(
      `${changed} of the events were added or changed while ${file} was written, so it does not hold them as they are. Nothing of it was deleted from the log: delete the file, and archive again.`,
    );
}

const keptBy = ({ events }: Names, file: string, kept: string) =>
  new ArchiveError(
    `a trigger on ${events} kept ${kept} events from being deleted. They stay in the log, and ${file} holds them too: fix or drop the trigger, and archive again.`,
  );

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Reads the file back as an import would. The reader checks its footer and checksum. */
async function verify(target: ArchiveTarget, file: string, written: { events: number }): Promise<void> {
  const reader = new LineReader();
  try {
    for await (const line of linesOf(decompress(target.read(file), compressionOf(file)))) reader.read(line);
    reader.end();
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    throw new ArchiveError(
      `${file} could not be brought back by an import: ${error.fault}. Nothing of this file was deleted from the log: correct the event, or check the target, and archive again.`,
    );
  }
  if (reader.events !== written.events)
    throw new ArchiveError(
      `${file} holds ${reader.events} of ${written.events} events. Nothing of this file was deleted from the log: check the target, and archive again.`,
    );
}
