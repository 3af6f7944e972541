/** `act-drizzle backfill`: lets new reactions of an app process the history. */
import type { Command } from "commander";
import { appOf } from "../app.ts";
import { integer } from "../format.ts";
import { silently } from "../logger.ts";
import { importProjections } from "../module.ts";
import { progress } from "../progress.ts";
import { withStore } from "../session.ts";

export function backfill(program: Command): void {
  program
    .command("backfill")
    .argument("<module>", "the file that exports the app")
    .option("--export <name>", "name of the app among its exports", "app")
    .summary("lets new reactions of an app process the history")
    .description(
      "Looks for the targets of an app's reactions that have events in the log, subscribes each, and sets its work mark to the last of its events. Running workers process them. It may be run again, and beside workers.\nThe module is imported, so it must not start the app. It needs drizzle-orm.",
    )
    .addHelpText("after", "\nExample:\n  $ act-drizzle backfill ./dist/app.js")
    .action((module: string, options: { export: string }, command: Command) =>
      withStore(command, async ({ store, output }) => {
        const app = await appOf(module, options.export);
        const { backfill: run } = await importProjections();
        const bar = progress("backfill", undefined);
        const fill = () => run({ app, store, onProgress: ({ at }) => bar.update(at) });
        const done = await silently(fill).finally(bar.stop);
        if (output.json) output.document(done);
        else
          output.line(
            `${integer(done.targets)} targets have events in the log, ${integer(done.subscribed)} of them new.`,
          );
      }),
    );
}
