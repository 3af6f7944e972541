/** `act-drizzle events`, `event` and `tail`: the log. */
import { type Command, Option } from "commander";
import type { EventFilter, EventView } from "../../admin/index.ts";
import { instant } from "../format.ts";
import { type Column, type Output, printable } from "../output.ts";
import { toCount, toEventId, toTime, UsageError, withStore } from "../session.ts";

type FilterOptions = {
  readonly stream?: string;
  readonly exact?: boolean;
  readonly name?: string[];
  readonly correlation?: string;
  readonly payload?: boolean;
};

const collect = (text: string, all: string[] = []) => [...all, text];

const withFilter = (command: Command): Command =>
  command
    .option(
      "--stream <pattern>",
      "of streams that match: ^order- at the start of the name, order anywhere in it",
    )
    .option("--exact", "--stream is the name of one stream")
    .option("--name <event>", "of this name; may be given several times", collect)
    .option("--correlation <id>", "of this correlation")
    .option("--payload", "with the events' data; personal data is never shown");

const toFilter = ({ stream, exact, name, correlation, payload }: FilterOptions): EventFilter => ({
  stream,
  streamExact: exact,
  names: name,
  correlation,
  payload,
});

const COLUMNS: readonly Column<EventView>[] = [
  { title: "ID", value: ({ id }) => id, right: true },
  { title: "CREATED", value: ({ created }) => instant(created) },
  { title: "STREAM", value: ({ stream }) => stream, whole: true },
  { title: "VERSION", value: ({ version }) => version, right: true },
  { title: "NAME", value: ({ name }) => name, whole: true },
  { title: "BY", value: ({ cause, actor }) => (cause ? `event ${cause.id}` : actor), whole: true },
];

function print(output: Output, found: readonly EventView[], header: boolean): void {
  if (found.every(({ data }) => data === undefined)) {
    output.table(COLUMNS, found, { header });
    return;
  }
  for (const event of found) {
    output.table(COLUMNS, [event], { header: false });
    output.line(`  ${printable(JSON.stringify(event.data) ?? "")}`);
  }
}

export function events(program: Command): void {
  withFilter(program.command("events"))
    .summary("the log, newest first")
    .description("Shows events, newest first. A time is 2h (ago) or 2026-01-31T12:00Z.")
    .addOption(new Option("--since <time>", "committed later").argParser(toTime))
    .addOption(new Option("--until <time>", "committed earlier").argParser(toTime))
    .addOption(new Option("--before <id>", "with lower ids: the next page").argParser(toEventId))
    .addOption(new Option("--limit <n>", "events at most").argParser(toCount).default(20))
    .option("--forward", "oldest first")
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle events --stream ^order- --since 1h\n  $ act-drizzle events --name Placed --json | jq '.[].stream'",
    )
    .action((options: FilterOptions & EventsOptions, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const { since, until, before, limit, forward } = options;
        const found = await admin.events({
          ...toFilter(options),
          createdAfter: since,
          createdBefore: until,
          before,
          limit,
          forward,
        });
        if (output.json) return output.document(found);
        if (found.length === 0) return output.line("No event matches.");
        print(output, found, true);
      }),
    );
}

type EventsOptions = {
  readonly since?: Date;
  readonly until?: Date;
  readonly before?: number;
  readonly limit: number;
  readonly forward?: boolean;
};

export function event(program: Command): void {
  program
    .command("event")
    .summary("one event with its data")
    .description("Shows one event with its data, its cause and who acted. Personal data is never shown.")
    .argument("<id>", "its id", toEventId)
    .action((id: number, _options, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const found = await admin.event(id);
        if (!found) throw new UsageError(`There is no event ${id} in the log.`);
        if (output.json) return output.document(found);
        output.facts([
          ["Event", `${found.id} ${found.name}`],
          ["Stream", `${found.stream}, version ${found.version}`],
          ["Created", instant(found.created)],
          ["Correlation", found.correlation],
          ["Action", found.action ? `${found.action}${found.actor ? ` by ${found.actor}` : ""}` : "none"],
          [
            "Cause",
            found.cause ? `event ${found.cause.id} ${found.cause.name} of ${found.cause.stream}` : "none",
          ],
          ["Personal data", found.personal ? "yes" : "no"],
        ]);
        const lines = JSON.stringify(found.data, undefined, 2)?.split("\n") ?? [];
        output.line(`${output.style("bold", "Data")}\n${lines.map(printable).join("\n")}`);
      }),
    );
}

export function tail(program: Command): void {
  withFilter(program.command("tail"))
    .summary("new events as they are committed")
    .description("Shows the last events and then new ones, until Ctrl-C. With --json, one line per event.")
    .addOption(new Option("--last <n>", "events to begin with").argParser(toCount).default(10))
    .addHelpText("after", "\nExample:\n  $ act-drizzle tail --name Placed --json | jq .stream")
    .action((options: FilterOptions & { last: number }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const end = new AbortController();
        process.once("SIGINT", () => end.abort()).once("SIGTERM", () => end.abort());
        const filter = toFilter(options);
        const show = (found: readonly EventView[]) => {
          if (!output.json) return print(output, found, false);
          for (const one of found) output.jsonLine(one);
        };
        const { events: log } = await admin.overview();
        const last = log.lastId ?? 0;
        show((await admin.events({ ...filter, before: last + 1, limit: options.last })).reverse());
        for await (const page of admin.follow({ ...filter, after: last, signal: end.signal })) show(page);
      }),
    );
}
