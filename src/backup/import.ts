/** Brings an export back, with the ids it has, in one transaction under the append lock: all of it or nothing. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import { assertAllInserted, counted, wipe } from "../events/restore.ts";
import type { Query, Run } from "../postgres/index.ts";
import { numberArray, SEPARATOR, splitJson, textArray } from "../postgres/parameters.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { forgetCheckpoints } from "../schema/checkpoints-seen.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import { checkGiven, FLAG, FUNCTION, oneOf, type Rules } from "../values/rules.ts";
import { invalid } from "../values/validate.ts";
import { CsvReader } from "./csv.ts";
import { LineReader } from "./event-lines.ts";
import { type EventLine, type EventReader, ImportError } from "./event-order.ts";
import { linesOf } from "./lines.ts";

/** What an import does with the events that are already in the log. */
export type ImportMode =
  /** The log must be empty. */
  | "empty"
  /** The log, all subscriptions and checkpoints are deleted first. */
  | "replace"
  /** Keeps the events of the log: archived events come back to their places. */
  | "merge";

/** How to import. */
export type ImportOptions = {
  /** Default `empty`. */
  readonly mode?: ImportMode | undefined;
  /** `jsonl` (default): what export wrote. `csv`: the framework's own format; not with mode `merge`. */
  readonly format?: "jsonl" | "csv" | undefined;
  /** Checks every line, and writes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Called after each batch, of 250 events at most, with the number of events read so far. */
  readonly onProgress?: ((progress: { readonly events: number }) => void) | undefined;
};

/** How many events were imported (with `dryRun`: read), and the id of the last one; undefined if there was none. */
export type Imported = { readonly events: number; readonly lastId: number | undefined };

const RULES: Rules<ImportOptions> = {
  mode: oneOf("empty", "replace", "merge"),
  format: oneOf("jsonl", "csv"),
  dryRun: FLAG,
  onProgress: FUNCTION,
};

/** Most events of one INSERT, and the characters after which it is sent early. Small, as the pages of an export. */
const BATCH = 250;
const BATCH_TEXT = 1_000_000;

/**
 * Inserts events with the ids that they have, and returns the number of rows. $1 their lines. `onConflict`: the statement's
 * ON CONFLICT clause. `counted` adds a RETURNING clause, which Citus needs: see `src/events/append-citus.ts`.
 */
export const insertQuery = (names: Names, lines: readonly string[], onConflict = ""): Query => ({
  ...counted(`insert into ${names.events} (id, stream, version, created, name, data, meta, pii, dates, token)
overriding system value
select (l ->> 'id')::bigint, l ->> 'stream', (l ->> 'version')::int, (l ->> 'created')::timestamptz, l ->> 'name',
  l -> 'data', l -> 'meta', l -> 'pii', l -> 'dates', (l ->> 'token')::uuid
from (select x.line::jsonb as l from unnest(${splitJson("$1")}) as x(line)) x ${onConflict}`),
  params: [lines.join(SEPARATOR)],
});

/** The position of the first line whose id, or stream and version, the log already has. $1 ids, $2 streams, $3 versions */
const conflictQuery = (names: Names, batch: readonly EventLine[]): Query => ({
  text: `select g.n::int as n, exists (select 1 from ${names.events} e where e.id = g.id) as by_id
from unnest($1::bigint[], $2::text[], $3::int[]) with ordinality as g(id, stream, version, n)
where exists (select 1 from ${names.events} e where e.id = g.id)
  or exists (select 1 from ${names.events} e where e.stream = g.stream and e.version = g.version)
order by g.n limit 1`,
  params: [
    numberArray(batch.map(({ id }) => id)),
    textArray(batch.map(({ stream }) => stream)),
    numberArray(batch.map(({ version }) => version)),
  ],
});

const conflict = z.object({ n: z.number(), by_id: z.boolean() });

async function refuseConflicts(run: Run, names: Names, batch: readonly EventLine[]): Promise<void> {
  const [row] = await run(conflictQuery(names, batch));
  if (!row) return;
  const { n, by_id } = conflict.parse(row);
  const { line = 0, stream, version } = batch[n - 1] ?? {};
  throw new ImportError(
    by_id ? "the log has an event with this id" : "the log has an event of this version",
    {
      line,
      stream,
      version,
    },
  );
}

/**
 * An expression for the last id that a sequence has given out, in a query of that sequence. After ALTER SEQUENCE … RESTART it is
 * the one before last_value.
 */
const LAST_GIVEN = "case when is_called then last_value else last_value - 1 end";

/** The id sequence, qualified and quoted; undefined if it cannot be found. */
async function sequenceOf(run: Run, names: Names): Promise<string | undefined> {
  const [row] = await run({
    text: `select format('%I.%I', n.nspname, s.relname) as name from pg_class s
join pg_namespace n on n.oid = s.relnamespace where s.oid = ${idSequence(names)}`,
  });
  return row && String(row.name);
}

/** The last id that was given out, even if its event no longer exists. 0: none. */
export async function lastGiven(run: Run, names: Names): Promise<number> {
  const name = await sequenceOf(run, names);
  if (name === undefined) return 0;
  const [row] = await run({ text: `select ${LAST_GIVEN} as last from ${name}` });
  return Number(row?.last ?? 0);
}

/** Moves the id sequence past the imported ids. It never moves the sequence back. */
export async function moveSequence(run: Run, names: Names, lastId: number): Promise<void> {
  const name = await sequenceOf(run, names);
  if (name === undefined) return;
  await run({
    text: `select setval(${literal(name)}, $1::bigint) from ${name} where ${LAST_GIVEN} < $1::bigint`,
    params: [lastId],
  });
}

async function* batchesOf(
  source: AsyncIterable<string>,
  reader: EventReader,
): AsyncGenerator<readonly EventLine[]> {
  let batch: EventLine[] = [];
  let size = 0;
  for await (const text of linesOf(source)) {
    const event = reader.read(text);
    if (!event) continue;
    batch.push(event);
    size += text.length;
    if (batch.length < BATCH && size < BATCH_TEXT) continue;
    yield batch;
    batch = [];
    size = 0;
  }
  reader.end();
  if (batch.length > 0) yield batch;
}

const isIterable = (source: unknown): boolean =>
  typeof source === "object" &&
  source !== null &&
  (Symbol.asyncIterator in source || Symbol.iterator in source);

/**
 * Reads what {@link exportEvents} wrote. Commits wait until it has ended.
 *
 * @param source Text in pieces of any size.
 * @throws ImportError that names line, stream and version of what is wrong; the store is as it was. StoreError if the
 *   database fails.
 */
export async function importEvents(
  context: Context,
  source: AsyncIterable<string>,
  options: ImportOptions = {},
): Promise<Imported> {
  checkGiven("import", options, RULES);
  if (!isIterable(source))
    throw invalid(
      "import",
      "source must be an async iterable of text, such as a readable stream or export()",
    );
  const { mode = "empty", dryRun = false, onProgress, format = "jsonl" } = options;
  const { names, connections } = context;
  if (format === "csv" && mode === "merge")
    throw new Error(
      "act-drizzle: the ids of a CSV file are its own, so it cannot be merged with a log. Nothing was imported.",
    );
  const reader = format === "csv" ? new CsvReader() : new LineReader();
  let lastId: number | undefined;
  const note = async (batch: readonly EventLine[]) => {
    lastId = batch.at(-1)?.id ?? lastId;
    await onProgress?.({ events: reader.events });
  };
  if (dryRun) {
    const run: Run = (query) => connections.read("import", query);
    if (mode === "empty") await assertEmpty(run, names, OTHER_MODES);
    for await (const batch of batchesOf(source, reader)) {
      if (mode === "merge") await refuseConflicts(run, names, batch);
      await note(batch);
    }
    return { events: reader.events, lastId };
  }
  const write = async (run: Run) => {
    await run(lockQuery(names));
    await run({ text: "set local statement_timeout = 0" });
    if (mode === "empty") await assertEmpty(run, names, OTHER_MODES);
    if (mode === "replace") await guard("import", () => wipe(run, names));
    for await (const batch of batchesOf(source, reader)) {
      if (mode === "merge") await refuseConflicts(run, names, batch);
      const texts = batch.map(({ text }) => text);
      const rows = await run(insertQuery(names, texts));
      await guard("import", async () => assertAllInserted(names, rows, batch));
      await note(batch);
    }
    if (lastId !== undefined) await moveSequence(run, names, lastId);
  };
  await context.exclusive("import", () => connections.session("import", write));
  if (mode === "replace") forgetCheckpoints(names);
  return { events: reader.events, lastId };
}

const OTHER_MODES = 'Choose mode "replace", which deletes it, or "merge". Nothing was imported.';

/** An import with the mode `empty`, or a move, found events in the log. Nothing was written. */
export class LogNotEmptyError extends Error {
  override readonly name = "LogNotEmptyError";
}

/** `remedy`: how else it can be done. */
export async function assertEmpty(run: Run, names: Names, remedy: string): Promise<void> {
  const [row] = await run({ text: `select exists (select 1 from ${names.events}) as filled` });
  if (row?.filled === true) throw new LogNotEmptyError(`act-drizzle: the log is not empty. ${remedy}`);
}
