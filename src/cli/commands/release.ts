/** `act-drizzle release`: ends the lease of a worker that is gone. */
import type { Command } from "commander";
import { printable } from "../output.ts";
import { UsageError, withStore } from "../session.ts";

export function release(program: Command): void {
  program
    .command("release")
    .argument("<subscription>", "its name")
    .option("--holder <name>", "only if this worker holds it")
    .summary("ends the lease of a worker that is gone")
    .description(
      "Ends the lease of a worker that is gone, so that another one takes the work over at once. If the worker still lives, its events are handled twice.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle release report")
    .action((stream: string, { holder }: { holder?: string }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const released = await admin.release({ stream, holder });
        if (!released)
          throw new UsageError(
            `Nothing was changed: ${JSON.stringify(stream)} is not held${holder === undefined ? "" : " by that worker"}. \`act-drizzle lag\` shows who holds what.`,
          );
        if (output.json) output.document({ released });
        else output.line(`${printable(stream)} is free.`);
      }),
    );
}
