/**
 * `act-drizzle export`, `import` and `archive`: events that leave the log, and come back. `act-drizzle reap`: deletes
 * subscriptions of closed streams, and correlators that are gone.
 */
import { createWriteStream } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  ArchiveError,
  compress,
  decompress,
  ExportError,
  folder,
  ImportError,
  LogNotEmptyError,
} from "../../admin/index.ts";
import { confirm } from "../confirm.ts";
import { integer } from "../format.ts";
import { keepHeapSmall } from "../heap.ts";
import type { Output } from "../output.ts";
import { progress } from "../progress.ts";
import { toCount, toTime, UsageError, withStore } from "../session.ts";

const compressionOf = (file: string) =>
  file.endsWith(".gz") ? "gzip" : file.endsWith(".zst") ? "zstd" : "none";
const STDIO = "-";
/** The format by the ending of the file's name, without the ending of the compression. */
const formatOf = (file: string, format: "jsonl" | "csv" | undefined) =>
  format ?? (/\.csv(\.gz|\.zst)?$/.test(file) ? "csv" : "jsonl");
const formatOption = () =>
  new Option(
    "--format <format>",
    "of the file (default: csv if its name ends with .csv, else jsonl)",
  ).choices(["jsonl", "csv"]);

export function exportLog(program: Command): void {
  program
    .command("export")
    .summary("writes the log as JSON lines, or as the framework's CSV")
    .description(
      "Writes events as JSON lines with a checksum: ids, snapshots and personal data as they are stored. A file that ends with .gz or .zst is compressed. With .csv it is the framework's own format: ids from 1, times to the millisecond, and no personal data.",
    )
    .argument("<file>", "where to; - is stdout")
    .option("--stream <pattern>", "only of streams that match")
    .option("--exact", "--stream is the name of one stream")
    .addOption(formatOption())
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle export log.jsonl.zst\n  $ act-drizzle export - --stream ^order- | gzip > orders.jsonl.gz",
    )
    .action((file: string, options: ExportFlags, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const { events: log } = await admin.overview();
        const bar = progress("export", log.lastId);
        let events = 0;
        const tidy = keepHeapSmall();
        const text = admin.export({
          stream: options.stream,
          streamExact: options.exact,
          format: formatOf(file, options.format),
          onProgress: (reached) => {
            events = reached.events;
            bar.update(reached.id);
            tidy();
          },
        });
        try {
          if (file === STDIO) {
            for await (const part of text) await output.write(part);
            return;
          }
          const partial = `${file}.partial`;
          await pipeline(compress(text, compressionOf(file)), createWriteStream(partial, { flush: true }));
          await rename(partial, file);
        } catch (error) {
          if (error instanceof ExportError) throw new UsageError(error.message);
          throw error;
        } finally {
          bar.stop();
        }
        if (output.json) output.document({ file, events });
        else output.line(`${integer(events)} events in ${file}.`);
      }),
    );
}

type ExportFlags = { stream?: string; exact?: boolean; format?: "jsonl" | "csv" };

const CONSEQUENCES = {
  empty: "Commits wait until it has ended.",
  merge:
    "Commits wait until it has ended. Subscriptions that are past the ids of these events do not get them.",
  replace:
    "The whole log, all subscriptions and all checkpoints are deleted first, and commits wait until it has ended. Until VACUUM has run, the tables take twice the space.",
} as const;

export function importLog(program: Command): void {
  program
    .command("import")
    .summary("brings an export or an archive back")
    .description(
      "Reads what export or archive wrote, or the framework's CSV (.csv): all of it, or nothing. Ids, snapshots and personal data stay as they are. A wrong line is named with its stream and version.",
    )
    .argument("<file>", "where from; - is stdin")
    .addOption(
      new Option(
        "--mode <mode>",
        "empty: the log must be empty; merge: keeps its events; replace: deletes them",
      )
        .choices(["empty", "merge", "replace"])
        .default("empty"),
    )
    .addOption(formatOption())
    .option("--dry-run", "checks every line, and writes nothing")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle import log.jsonl.zst --dry-run\n  $ act-drizzle import archive/events-….jsonl.zst --mode merge",
    )
    .action((file: string, options: ImportFlags, command: Command) =>
      withStore(command, async ({ admin, store, output }) => {
        const { mode, dryRun } = options;
        const format = formatOf(file, options.format);
        if (format === "csv" && mode === "merge")
          throw new UsageError("A CSV file has ids of its own: import it with --mode empty or replace.");
        if (!dryRun && mode !== "empty") await confirm(`${CONSEQUENCES[mode]} Go on?`, options);
        if (!dryRun) await store.seed();
        const bar = progress("import", undefined);
        const tidy = keepHeapSmall();
        // The file is opened first, because an error of a stream that nobody reads yet would end the process.
        const source = file === STDIO ? process.stdin : (await opened(file)).createReadStream();
        try {
          const done = await admin.import(decompress(source, compressionOf(file)), {
            mode,
            dryRun,
            format,
            onProgress: ({ events }) => {
              bar.update(events);
              tidy();
            },
          });
          bar.stop();
          if (output.json) return output.document(done);
          output.line(`${integer(done.events)} events ${dryRun ? "are in order" : "were imported"}.`);
          if (!dryRun && mode === "replace")
            output.line("Restart the workers, then run: vacuum (analyze) on the store's tables.");
        } catch (error) {
          if (error instanceof ImportError) throw new UsageError(`${file}, ${error.message}`);
          if (error instanceof LogNotEmptyError)
            throw new UsageError(
              "The log is not empty: choose --mode replace, which deletes it, or --mode merge. Nothing was imported.",
            );
          throw error;
        } finally {
          bar.stop();
        }
      }),
    );
}

async function opened(file: string): Promise<FileHandle> {
  try {
    return await open(file);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new UsageError(`There is no file ${file}.`);
    throw error;
  }
}

type ImportFlags = {
  mode: "empty" | "merge" | "replace";
  format?: "jsonl" | "csv";
  dryRun?: boolean;
  yes?: boolean;
};

export function archive(program: Command): void {
  program
    .command("archive")
    .summary("moves events of closed streams, or before old snapshots, to files")
    .description(
      "Writes events to compressed files with a manifest, reads them back, and only then deletes them from the log. Without --before: the events of closed streams, whose tombstones stay. A stream stays if a subscription is still to handle some of its events. If it is interrupted, the next call does the rest. `act-drizzle import --mode merge` brings a file back.",
    )
    .argument("<folder>", "where to")
    .addOption(
      new Option(
        "--before <time>",
        "instead, the events before each stream's newest snapshot that is older than this time",
      ).argParser(toTime),
    )
    .addOption(
      new Option("--compression <kind>", "of the files").choices(["zstd", "gzip", "none"]).default("zstd"),
    )
    .addOption(
      new Option("--streams-per-file <n>", "streams of one file at most").argParser(toCount).default(1_000),
    )
    .option("--dry-run", "counts, and does nothing")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle archive ./archive --dry-run\n  $ act-drizzle archive ./archive --before 365d",
    )
    .action((path: string, options: ArchiveFlags, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const { before, compression, streamsPerFile } = options;
        const target = folder(path);
        const due = await admin.archive({ target, before, dryRun: true });
        const what = `${integer(due.events)} events of ${integer(due.streams)} streams`;
        if (options.dryRun || due.events === 0) {
          if (output.json) return output.document(due);
          output.line(due.events === 0 ? "There is nothing to archive." : `${what} are to be archived.`);
          return tellAwaited(output, due.awaited);
        }
        await confirm(`${what} are to be moved to ${path} and deleted from the log. Go on?`, options);
        const bar = progress("archive", due.events);
        try {
          const done = await admin.archive({
            target,
            before,
            compression,
            streamsPerFile,
            onProgress: ({ events }) => bar.update(events),
          });
          bar.stop();
          if (output.json) return output.document(done);
          output.line(`${integer(done.events)} events of ${integer(done.streams)} streams were archived:`);
          for (const { file, events } of done.files) output.line(`  ${file}  ${integer(events)} events`);
          tellAwaited(output, done.awaited);
        } catch (error) {
          if (error instanceof ArchiveError) throw new UsageError(error.message);
          throw error;
        } finally {
          bar.stop();
        }
      }),
    );
}

/** Says how many streams stay in the log, and why. */
function tellAwaited(output: Output, awaited: number): void {
  if (awaited > 0)
    output.line(
      `${integer(awaited)} streams stay, because subscriptions are still to handle events of them (see \`act-drizzle lag\` and \`act-drizzle blocked\`), or because no running app has correlated these events yet.`,
    );
}

type ArchiveFlags = {
  before?: Date;
  compression: "zstd" | "gzip" | "none";
  streamsPerFile: number;
  dryRun?: boolean;
  yes?: boolean;
};

const DURATION = /^(\d+)(h|d)$/;
const toAge = (text: string): number => {
  const [, amount, unit] = DURATION.exec(text) ?? [];
  if (!amount) throw new InvalidArgumentError("An age is needed, as 12h or 30d.");
  return Number(amount) * (unit === "d" ? 86_400_000 : 3_600_000);
};

export function reap(program: Command): void {
  program
    .command("reap")
    .summary("deletes subscriptions of closed streams, and correlators that are gone")
    .description(
      "Deletes subscriptions whose only source is a closed stream and that have handled everything, and correlators whose registry no app has any more. Safe beside running workers.",
    )
    .addOption(
      new Option("--older-than <age>", "finished for at least this long: 12h, 30d")
        .argParser(toAge)
        .default(604_800_000, "7d"),
    )
    .option("--dry-run", "counts, and deletes nothing")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample:\n  $ act-drizzle reap --older-than 30d --dry-run")
    .action((options: { olderThan: number; dryRun?: boolean; yes?: boolean }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const age = { olderThanMs: options.olderThan };
        const due = await admin.reap({ ...age, dryRun: true });
        const what = `${integer(due.subscriptions)} subscriptions and ${integer(due.correlators)} correlators`;
        const nothing = due.subscriptions + due.correlators === 0;
        if (options.dryRun || nothing) {
          if (output.json) return output.document(due);
          return output.line(nothing ? "There is nothing to delete." : `${what} are to be deleted.`);
        }
        await confirm(`${what} are to be deleted. Go on?`, options);
        const done = await admin.reap(age);
        if (output.json) output.document(done);
        else
          output.line(
            `${integer(done.subscriptions)} subscriptions and ${integer(done.correlators)} correlators were deleted.`,
          );
      }),
    );
}
