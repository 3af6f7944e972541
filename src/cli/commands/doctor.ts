/** `act-drizzle doctor`: checks the store, and prints each problem with its remedy. */
import type { Command } from "commander";
import type { Finding } from "../../admin/index.ts";
import { printable } from "../output.ts";
import { ExitCode, withStore } from "../session.ts";

const STYLES = { error: "red", warning: "yellow", hint: "cyan" } as const satisfies Record<
  Finding["severity"],
  string
>;

export function doctor(program: Command): void {
  program
    .command("doctor")
    .summary("finds what is wrong, and says what to do")
    .description(
      "Looks at tables, sequence, server, connection and clocks, and names what is wrong with its remedy. Changes nothing.\nExit code: 0 if nothing is found, or hints only; 1 for an error or a warning.",
    )
    .option("--listen", "also send a notification to itself")
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle doctor\n  $ act-drizzle doctor --json | jq '.[].code'",
    )
    .action((options: { listen?: boolean }, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const found = await admin.doctor({ listen: options.listen });
        if (output.json) output.document(found);
        else if (found.length === 0) output.line(output.style("green", "Nothing is wrong."));
        for (const { severity, code, found: what, remedy } of output.json ? [] : found) {
          output.line(`${output.style(STYLES[severity], severity)} ${output.style("bold", code)}`);
          output.paragraph(printable(what), "  ");
          output.paragraph(printable(`→ ${remedy}`), "  ");
        }
        if (found.some(({ severity }) => severity !== "hint")) throw new ExitCode(1);
      }),
    );
}
