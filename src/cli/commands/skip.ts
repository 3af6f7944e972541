/** `act-drizzle skip` goes past an event that can never be handled; `act-drizzle skipped` lists what was skipped. */
import { type Command, Option } from "commander";
import { SkipError } from "../../admin/index.ts";
import { type NamesFlags, namesOf, withNames } from "../app.ts";
import { confirm } from "../confirm.ts";
import { instant } from "../format.ts";
import { printable } from "../output.ts";
import { currentUser, toCount, toEventId, UsageError, withStore } from "../session.ts";

type SkipFlags = NamesFlags & { event: number; reason: string; by?: string; yes?: boolean };

export function skip(program: Command): void {
  withNames(program.command("skip"))
    .argument("<subscription>", "name of a blocked subscription")
    .requiredOption("--event <id>", "the event that it stands at", toEventId)
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--by <name>", "who (default: the user of this system)")
    .option("--yes", "do not ask")
    .summary("goes past the event that blocks a subscription")
    .description(
      "Moves a blocked subscription past the event that it stands at, and unblocks it. The event is never handled by it. Refused if it stands at another event. Records who skipped what, when and why: see `act-drizzle skipped`.",
    )
    .addHelpText(
      "after",
      '\nExample:\n  $ act-drizzle skip mailer --event 4711 --reason "address was deleted"',
    )
    .action((stream: string, { event, reason, by, yes, ...names }: SkipFlags, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        // Asks only at a terminal. A script has already named the event by its id.
        if (process.stdin.isTTY)
          await confirm(`${printable(stream)} will never handle event ${event}. Go on?`, { yes });
        const who = by ?? currentUser();
        const done = await admin
          .skip({ stream, event, reason, by: who, names: await namesOf(names) })
          .catch((error) => {
            throw error instanceof SkipError ? new UsageError(error.message) : error;
          });
        if (output.json) return output.document(done);
        output.paragraph(
          `${printable(stream)} goes on after event ${event}, ${printable(done.event.name)} of ${printable(done.event.stream)}. Recorded for ${printable(done.by)}.`,
        );
      }),
    );
}

export function skipped(program: Command): void {
  program
    .command("skipped")
    .argument("[subscription]", "only of this one")
    .addOption(new Option("--limit <n>", "records at most").argParser(toCount).default(20))
    .summary("events that were skipped, by whom and why")
    .description("Shows which events were skipped, the newest first: who did it, when, and why.")
    .addHelpText("after", "\nExamples:\n  $ act-drizzle skipped\n  $ act-drizzle skipped mailer --json")
    .action((stream: string | undefined, { limit }: { limit: number }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const found = await admin.skipped({ stream, limit });
        if (output.json) return output.document(found);
        if (found.length === 0) return output.line("Nothing was skipped.");
        for (const { stream: of, event, by, reason, error, skippedAt } of found) {
          output.line(`${output.style("bold", printable(of))}  event ${event.id}  ${instant(skippedAt)}`);
          output.paragraph(printable(`${event.name} of ${event.stream}, version ${event.version}`), "  ");
          output.paragraph(printable(`by ${by}: ${reason}`), "  ");
          output.paragraph(printable(`had failed with: ${error ?? "no text"}`), "  ");
        }
      }),
    );
}
