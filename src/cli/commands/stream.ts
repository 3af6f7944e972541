/** `act-drizzle stream`: one stream. */
import { type Command, Option } from "commander";
import { counted, instant } from "../format.ts";
import { printable } from "../output.ts";
import { toCount, UsageError, withStore } from "../session.ts";

export function stream(program: Command): void {
  program
    .command("stream")
    .summary("one stream: history, snapshot, and who reads it")
    .description(
      "Shows a stream's head, snapshot and latest events, and the subscriptions that read it: by its name, by a pattern, or with all streams.",
    )
    .argument("<name>", "its name")
    .addOption(new Option("--limit <n>", "events at most").argParser(toCount).default(20))
    .option("--payload", "with the events' data")
    .action((name: string, options: { limit: number; payload?: boolean }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const view = await admin.stream(name, { limit: options.limit, payload: options.payload });
        if (!view.head) throw new UsageError(`There is no event in stream ${JSON.stringify(name)}.`);
        if (output.json) return output.document(view);
        output.facts([
          ["Stream", view.closed ? `${name}, closed` : name],
          ["Head", `version ${view.head.version}, event ${view.head.id}`],
          ["Events", counted(view.events)],
          ["Snapshot", view.snapshot ? `at version ${view.snapshot.version}` : "none"],
          ...((view.firstVersion ?? 0) > 0
            ? [["Truncated", `begins at version ${view.firstVersion}`] as const]
            : []),
          [
            "Read by",
            [
              ...view.readers.map((r) => `${r.stream} (at ${r.at}${r.blocked ? ", blocked" : ""})`),
              ...(view.readersCut ? ["maybe more"] : []),
            ].join(", ") || "nobody",
          ],
        ]);
        output.line();
        output.table(
          [
            { title: "VERSION", value: ({ version }) => version, right: true },
            { title: "ID", value: ({ id }) => id, right: true },
            { title: "CREATED", value: ({ created }) => instant(created) },
            { title: "NAME", value: ({ name: event }) => event, whole: true },
            { title: "KEYS", value: ({ keys }) => keys.join(", ") },
          ],
          view.history,
        );
        if (options.payload)
          for (const { version, data } of view.history)
            output.line(`${version}: ${printable(JSON.stringify(data) ?? "")}`);
      }),
    );
}
