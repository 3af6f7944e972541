/** `act-drizzle unblock`, `reset`, `defer` and `prioritize`: the operators' verbs, with a preview. */
import type { StreamFilter } from "@rotorsoft/act";
import { type Command, InvalidArgumentError } from "commander";
import type { ProgressOptions } from "../../admin/index.ts";
import { confirm } from "../confirm.ts";
import { counted, instant, integer } from "../format.ts";
import { printable } from "../output.ts";
import { progress } from "../progress.ts";
import { type Session, toFuture, toWhole, UsageError, withStore } from "../session.ts";

type Selection = {
  readonly match?: string;
  readonly source?: string;
  readonly lane?: string;
  readonly blocked?: boolean;
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
};

/** Names of subscriptions, or a filter. */
type Target = string[] | StreamFilter;

/** Subscriptions that a preview names. */
const NAMED = 5;
const PREVIEW_LIMIT = 10_000;

const withSelection = (command: Command): Command =>
  command
    .argument("[subscription...]", "names of subscriptions")
    .option("--match <pattern>", "those whose name matches: ^mail at its start, mail anywhere in it")
    .option("--source <pattern>", "those whose source matches")
    .option("--lane <name>", "those of this lane")
    .option("--blocked", "those that are blocked")
    .option("--all", "all of them")
    .option("--dry-run", "show what would be changed")
    .option("--yes", "do not ask");

function toTarget(names: string[], { match, source, lane, blocked, all }: Selection): Target {
  // An empty pattern would match all: that is --all.
  for (const [option, value] of Object.entries({ match, source, lane }))
    if (value === "") throw new UsageError(`--${option} must not be empty.`);
  const filter: StreamFilter = {
    ...(match !== undefined && { stream: match }),
    ...(source !== undefined && { source }),
    ...(lane !== undefined && { lane }),
    ...(blocked && { blocked: true }),
  };
  const filtered = Object.keys(filter).length > 0;
  if (names.length > 0) {
    if (filtered || all) throw new UsageError("Give names or a filter, not both.");
    return names;
  }
  if (!filtered && !all)
    throw new UsageError(
      "Name subscriptions, or choose them by --match, --source, --lane, --blocked or --all.",
    );
  return filter;
}

/** How many there are, and the names of the first. */
async function preview({ store }: Session, target: Target, only?: StreamFilter) {
  const first: string[] = [];
  let found = 0;
  const wanted = Array.isArray(target) ? new Set(target) : undefined;
  const filter = Array.isArray(target) ? { ...only } : { ...target, ...only };
  const collect = ({ stream, blocked }: { stream: string; blocked: boolean }) => {
    if ((wanted && !wanted.has(stream)) || (only?.blocked && !blocked)) return;
    found++;
    if (first.length < NAMED) first.push(stream);
  };
  if (wanted) {
    for (const name of wanted)
      await store.query_streams(collect, { ...only, stream: name, stream_exact: true, limit: 1 });
  } else await store.query_streams(collect, { ...filter, limit: PREVIEW_LIMIT });
  return { count: { count: found, exact: found < PREVIEW_LIMIT }, first };
}

type Operation = {
  /** As in "12 subscriptions are to be unblocked". */
  readonly done: string;
  /** The consequence, as the preview prints it. */
  readonly effect: string;
  /** Narrows the selection. */
  readonly only?: StreamFilter;
  readonly run: (session: Session, target: Target, options: ProgressOptions) => Promise<number>;
};

async function operate(
  command: Command,
  names: string[],
  options: Selection,
  operation: Operation,
): Promise<void> {
  const target = toTarget(names, options);
  await withStore(command, async (session) => {
    const { output } = session;
    const { count, first } = await preview(session, target, operation.only);
    const which =
      first.length === 0 ? "" : `: ${printable(first.join(", "))}${count.count > first.length ? ", …" : ""}`;
    const plan = `${counted(count)} ${count.count === 1 ? "subscription is" : "subscriptions are"} to be ${operation.done}${which}.`;
    if (options.dryRun || count.count === 0) {
      if (output.json) output.document({ changed: 0, matching: count, first });
      else output.line(count.count === 0 ? "No subscription matches." : `${plan} ${operation.effect}`);
      return;
    }
    if (count.count > 1 || !Array.isArray(target))
      await confirm(`${plan} ${operation.effect} Go on?`, options);
    const bar = progress(command.name(), count.exact ? count.count : undefined);
    let reached = 0;
    const onProgress = (count: number) => {
      reached = count;
      bar.update(count);
    };
    const changed = await operation
      .run(session, target, { onProgress })
      .finally(bar.stop)
      .catch((error: unknown) => {
        if (reached > 0)
          process.stderr.write(
            `At least ${integer(reached)} ${reached === 1 ? "subscription was" : "subscriptions were"} ${operation.done} before the failure. If you run the command again, it changes all that match then.\n`,
          );
        throw error;
      });
    if (output.json) output.document({ changed });
    else
      output.line(
        `${integer(changed)} ${changed === 1 ? "subscription was" : "subscriptions were"} ${operation.done}.`,
      );
  });
}

export function unblock(program: Command): void {
  withSelection(program.command("unblock").alias("retry"))
    .summary("lets blocked subscriptions go on, with the same event")
    .description(
      "Lets blocked subscriptions go on. Each tries the event again that it stands at: if the cause is not fixed, it blocks again. `act-drizzle skip` goes past the event.",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle unblock mailer\n  $ act-drizzle retry --lane mail --yes",
    )
    .action((names: string[], options: Selection, command: Command) =>
      operate(command, names, options, {
        done: "unblocked",
        effect: "Each tries the event again that it stands at.",
        only: { blocked: true },
        run: ({ admin }, target, given) => admin.unblock(target, given),
      }),
    );
}

export function reset(program: Command): void {
  withSelection(program.command("reset"))
    .summary("sets subscriptions back to the beginning of the log")
    .description(
      "Sets subscriptions back to the beginning, and unblocks them: they handle every event again.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle reset report --dry-run")
    .action((names: string[], options: Selection, command: Command) =>
      operate(command, names, options, {
        done: "set back to the beginning",
        effect: "They handle every event again: handlers that send or charge do so again.",
        run: ({ admin }, target, given) => admin.reset(target, given),
      }),
    );
}

export function defer(program: Command): void {
  withSelection(program.command("defer"))
    .requiredOption("--until <time>", "2h (from now), or 2026-01-31T12:00Z", toFuture)
    .summary("keeps subscriptions from being handled until a time")
    .description(
      "Keeps subscriptions from being claimed until a time. A time that has passed makes them claimable at once.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle defer --lane mail --until 30m")
    .action((names: string[], options: Selection & { until: Date }, command: Command) =>
      operate(command, names, options, {
        done: `deferred until ${instant(options.until)}`,
        effect: "They are not handled before.",
        run: ({ admin }, target, given) => admin.defer(target, options.until.getTime(), given),
      }),
    );
}

const toPriority = (text: string): number => {
  const value = toWhole(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("A whole number is needed.");
  return value;
};

export function prioritize(program: Command): void {
  withSelection(program.command("prioritize"))
    .requiredOption("--priority <n>", "higher comes first; the default is 0", toPriority)
    .summary("sets the priority of subscriptions")
    .description("Sets the priority of subscriptions, up or down. Higher ones are claimed first.")
    .addHelpText("after", "\nExample:\n  $ act-drizzle prioritize --match ^audit- --priority -5")
    .action((names: string[], options: Selection & { priority: number }, command: Command) =>
      operate(command, names, options, {
        done: `given priority ${options.priority}`,
        effect: "It stays until it is set again.",
        run: ({ admin }, target, given) =>
          admin.prioritize(
            Array.isArray(target)
              ? {
                  stream: target.length === 1 ? (target[0] ?? "") : anyOf(target),
                  stream_exact: target.length === 1,
                }
              : target,
            options.priority,
            given,
          ),
      }),
    );
}

/** Names as one pattern, for the verb that takes a filter only. */
const anyOf = (names: readonly string[]): string =>
  names.map((name) => `^${name.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`).join("|");
