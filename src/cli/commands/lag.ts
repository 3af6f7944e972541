/** `act-drizzle lag`: which subscriptions are behind. */
import { type Command, Option } from "commander";
import { type NamesFlags, namesOf, withNames } from "../app.ts";
import { counted, duration } from "../format.ts";
import { toCount, withStore } from "../session.ts";

export function lag(program: Command): void {
  withNames(program.command("lag"))
    .summary("subscriptions that are behind, in events and in time")
    .description(
      "Shows subscriptions with events that wait: how many, since when, the next one, and who holds the lease. With --names or --app only events count that the app reacts to.\nThe lowest watermark comes first.",
    )
    .option("--lane <name>", "only of this lane")
    .addOption(new Option("--limit <n>", "subscriptions at most").argParser(toCount).default(20))
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle lag\n  $ act-drizzle lag --lane mail --json | jq '.[0].lagMs'",
    )
    .action((options: NamesFlags & { lane?: string; limit: number }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const { lane, limit } = options;
        const found = await admin.lag({ lane, limit, names: await namesOf(options) });
        if (output.json) return output.document(found);
        if (found.length === 0) return output.line("Nothing is behind.");
        output.table(
          [
            { title: "SUBSCRIPTION", value: ({ stream }) => stream, whole: true },
            { title: "LANE", value: ({ lane }) => lane, whole: true },
            { title: "EVENTS", value: ({ events }) => counted(events), right: true },
            { title: "LAG", value: ({ lagMs }) => duration(lagMs), right: true },
            {
              title: "NEXT EVENT",
              value: ({ next }) => next && `${next.id} ${next.name} ${next.stream}`,
              whole: true,
            },
            {
              title: "STATE",
              whole: true,
              value: ({ leasedBy, leasedUntil, deferredUntil }) =>
                leasedBy
                  ? `leased ${leasedUntil ? `${duration(leasedUntil.getTime() - Date.now())} ` : ""}by ${leasedBy}`
                  : deferredUntil
                    ? `deferred for ${duration(deferredUntil.getTime() - Date.now())}`
                    : "waits",
            },
          ],
          found,
        );
      }),
    );
}
