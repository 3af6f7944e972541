/** `act-drizzle rebuild`: fills the tables of a projection anew from the log. */
import { StoreError } from "@rotorsoft/act";
import { type Command, InvalidArgumentError } from "commander";
import type { AnyRebuild } from "../../projections/index.ts";
import { integer } from "../format.ts";
import { importModule, importProjections, type UserModule } from "../module.ts";
import type { Output } from "../output.ts";
import { type Progress, progress } from "../progress.ts";
import { ExitCode, INTERRUPTED, toCount, UsageError, withStore } from "../session.ts";

type Options = {
  readonly app: string;
  readonly inPlace?: boolean;
  readonly restart?: boolean;
  readonly batchSize?: number;
};
type Result = Awaited<ReturnType<Awaited<ReturnType<typeof importProjections>>["rebuild"]>>;

const MAX_BATCH_SIZE = 100_000;

const toBatchSize = (text: string): number => {
  const size = toCount(text);
  if (size > MAX_BATCH_SIZE) throw new InvalidArgumentError(`At most ${MAX_BATCH_SIZE}.`);
  return size;
};

const isRebuild = (value: unknown): value is AnyRebuild =>
  typeof value === "object" &&
  value !== null &&
  "projection" in value &&
  typeof value.projection === "string" &&
  "tables" in value &&
  "apply" in value;

/** The exported projection whose `projection` is `name`, whatever its export is called. Without `name`, the only one. */
function rebuildOf({ path, exports }: UserModule, name: string | undefined): AnyRebuild {
  const found = [...new Set(Object.values(exports))].filter(isRebuild);
  const named = name === undefined ? found : found.filter(({ projection }) => projection === name);
  const [only] = named;
  if (only && named.length === 1) return only;
  const names = found.map(({ projection }) => projection).join(", ");
  if (found.length === 0)
    throw new UsageError(
      `${path} exports no projection to rebuild: export rebuildable({ db, projection, events, tables, apply }) of act-drizzle/projections.`,
    );
  throw new UsageError(
    name === undefined
      ? `${path} exports several projections, name one: ${names}`
      : `${path} exports ${named.length === 0 ? "no" : "more than one"} projection ${JSON.stringify(name)}: it has ${names}`,
  );
}

/** Ends the connections to the read models in an orderly way. The client of postgres.js is a function. */
async function close({ db }: AnyRebuild): Promise<void> {
  const client: unknown = Reflect.get(db, "$client");
  if ((typeof client !== "object" && typeof client !== "function") || client === null) return;
  const end: unknown = Reflect.get(client, "end") ?? Reflect.get(client, "close");
  if (typeof end === "function") await end.call(client);
}

/** A signal by which Ctrl+C stops the rebuild between two batches. */
function stoppable(): { readonly signal: AbortSignal; readonly done: () => void } {
  const stop = new AbortController();
  const abort = () => stop.abort(new Error("stopped"));
  process.once("SIGINT", abort);
  return { signal: stop.signal, done: () => process.off("SIGINT", abort) };
}

async function rebuilt(
  run: (given: Pick<AnyRebuild, "onProgress" | "signal">) => Promise<Result>,
  projection: string,
): Promise<Result> {
  const { signal, done } = stoppable();
  let bar: Progress | undefined;
  try {
    return await run({
      signal,
      onProgress: ({ at, head }) => {
        bar ??= progress(projection, head);
        bar.update(at);
      },
    });
  } catch (error) {
    bar?.stop();
    if (error instanceof StoreError) throw error;
    // The projection's own code or database caused the error, rebuild() refused its options, or Ctrl+C stopped it.
    const said = error instanceof Error ? error.message.replace(/^act-drizzle: /, "") : String(error);
    process.stderr.write(`act-drizzle: ${said}\n`);
    if (signal.aborted) process.stderr.write("Run it again: it goes on where it stopped.\n");
    throw new ExitCode(signal.aborted ? INTERRUPTED : 1);
  } finally {
    bar?.stop();
    done();
  }
}

function print(output: Output, projection: string, result: Result, inPlace: boolean): void {
  const { events, at, from, lockedMillis } = result;
  if (output.json) {
    output.document({ projection, ...result });
    return;
  }
  if (from >= 0) output.line(`It went on after event ${integer(from)}, where a rebuild had stopped.`);
  const waited = inPlace
    ? "Handlers waited from the beginning to the end."
    : `Handlers waited for ${integer(lockedMillis)} ms.`;
  output.line(`${projection}: ${integer(events)} events applied, up to event ${integer(at)}. ${waited}`);
}

export function rebuild(program: Command): void {
  program
    .command("rebuild")
    .argument("[projection]", "its name (default: the only one of the module)")
    .requiredOption("--app <module>", "the file that exports rebuildable({ … })")
    .option("--in-place", "empties and fills the tables themselves; handlers wait")
    .option("--restart", "begins anew, even if a rebuild was stopped half-way")
    .option("--batch-size <n>", "events that apply gets at most (5000)", toBatchSize)
    .summary("fills the tables of a projection anew from the log")
    .description(
      "Fills shadows of a projection's tables from the log, while readers and workers go on, and swaps them in. If a rebuild was stopped, the next run goes on where it was.\nThe module is imported, so it must not start the app. It needs drizzle-orm.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle rebuild balances --app ./dist/rebuilds.js")
    .action((name: string | undefined, options: Options, command: Command) =>
      withStore(command, async ({ store, output }) => {
        const given = rebuildOf(await importModule(options.app), name);
        const { rebuild: run } = await importProjections();
        const { inPlace, restart, batchSize = given.batchSize } = options;
        try {
          const result = await rebuilt(
            (watched) => run({ ...given, store, inPlace, restart, batchSize, ...watched }),
            given.projection,
          );
          print(output, given.projection, result, inPlace === true);
        } finally {
          await close(given);
        }
      }),
    );
}
