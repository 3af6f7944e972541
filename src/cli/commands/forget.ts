/** `act-drizzle forget`: erases the personal data of a stream. */
import type { Command } from "commander";
import { confirm } from "../confirm.ts";
import { integer } from "../format.ts";
import { printable } from "../output.ts";
import { withStore } from "../session.ts";

export function forget(program: Command): void {
  program
    .command("forget")
    .argument("<stream>", "its name")
    .option("--yes", "do not ask")
    .summary("erases the personal data of a stream")
    .description(
      "Erases the personal data of a stream's events; the events stay. There is no way back. Running apps may still have it in their caches: `app.forget()` clears that of its own process.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle forget customer-7 --yes")
    .action((stream: string, options: { yes?: boolean }, command: Command) =>
      withStore(command, async ({ store, output }) => {
        await confirm(`The personal data of ${printable(stream)} is to be erased for ever. Go on?`, options);
        const events = await store.forget_pii(stream);
        if (output.json) output.document({ events });
        else output.line(`Erased from ${integer(events)} ${events === 1 ? "event" : "events"}.`);
      }),
    );
}
