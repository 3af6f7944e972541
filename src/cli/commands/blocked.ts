/** `act-drizzle blocked`: the blocked subscriptions, each with its error and the event at which it failed. */
import { type Command, Option } from "commander";
import { type NamesFlags, namesOf, withNames } from "../app.ts";
import { printable } from "../output.ts";
import { toCount, withStore } from "../session.ts";

type BlockedFlags = NamesFlags & { lane?: string; after?: string; limit: number };

export function blocked(program: Command): void {
  withNames(program.command("blocked"))
    .summary("blocked subscriptions, with error and event")
    .description(
      "Shows blocked subscriptions: the handler's error, the attempts, and the event that each stands at. The store does not know which events an app reacts to: with --names or --app the event is one of those.",
    )
    .option("--lane <name>", "only of this lane")
    .option("--after <subscription>", "only those after this one, for the next page")
    .addOption(new Option("--limit <n>", "subscriptions at most").argParser(toCount).default(20))
    .addHelpText(
      "after",
      `
Examples:
  $ act-drizzle blocked
  $ act-drizzle event 4711          the event that one stands at
  $ act-drizzle unblock mailer      tries the same event again
  $ act-drizzle skip mailer --event 4711 --reason "address was deleted"`,
    )
    .action((options: BlockedFlags, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const { lane, after, limit } = options;
        const found = await admin.blocked({ lane, after, limit, names: await namesOf(options) });
        if (output.json) return output.document(found);
        if (found.length === 0) return output.line("Nothing is blocked.");
        for (const { stream, lane, attempts, event, error, at } of found) {
          output.line(
            `${output.style("bold", printable(stream))}  lane ${printable(lane)}, ${attempts} ${attempts === 1 ? "attempt" : "attempts"}`,
          );
          output.paragraph(
            event
              ? printable(
                  `stands at event ${event.id}, ${event.name} of ${event.stream}, version ${event.version}`,
                )
              : `has no event after ${at}`,
            "  ",
          );
          output.paragraph(`error: ${printable(error ?? "none")}`, "  ");
        }
        if (options.names === undefined && options.app === undefined)
          output.paragraph(
            "\nThe event is the next one of the source. If the app passes over it, --app or --names shows the one that failed.",
          );
        if (found.length === limit)
          output.line(`\nThere may be more: --after ${JSON.stringify(found.at(-1)?.stream)}`);
      }),
    );
}
