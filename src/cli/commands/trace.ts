/** `act-drizzle trace`: the tree of causes of a correlation. */
import { type Command, Option } from "commander";
import type { TraceNode } from "../../admin/index.ts";
import { duration, instant } from "../format.ts";
import { type Output, printable } from "../output.ts";
import { toCount, UsageError, withStore } from "../session.ts";

export function trace(program: Command): void {
  program
    .command("trace")
    .summary("the tree of causes of a correlation")
    .description(
      "Shows which event made a reaction commit which other one, across streams, with the time between them.",
    )
    .argument("<correlation>", "as the events carry it; act-drizzle event <id> shows it")
    .addOption(new Option("--limit <n>", "events at most").argParser(toCount).default(1_000))
    .action((correlation: string, options: { limit: number }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const found = await admin.trace(correlation, { limit: options.limit });
        if (found.events === 0)
          throw new UsageError(`No event has correlation ${JSON.stringify(correlation)}.`);
        if (output.json) return output.document(found);
        output.line(`${found.events} events in ${duration(found.durationMs)}`);
        for (const root of found.roots) printNode(output, root, "", "");
        if (found.cut) output.line(`There are more: --limit ${options.limit * 10}`);
      }),
    );
}

function printNode(
  output: Output,
  { event, afterMs, effects }: TraceNode,
  first: string,
  rest: string,
): void {
  const when = afterMs === undefined ? instant(event.created) : `+${duration(afterMs)}`;
  const begin = `${first}${event.id} ${printable(event.name)}  `;
  const stream = printable(event.stream);
  // A stream's name is never cut, because people copy it.
  if (begin.length + stream.length + 2 + when.length <= output.width)
    output.line(`${begin}${stream}  ${when}`);
  else {
    output.line(`${begin}${when}`);
    output.line(`${rest}${effects.length > 0 ? "│  " : "   "}  ${stream}`);
  }
  effects.forEach((effect, index) => {
    const last = index === effects.length - 1;
    printNode(output, effect, `${rest}${last ? "└─ " : "├─ "}`, `${rest}${last ? "   " : "│  "}`);
  });
}
