/** Asks before a command changes or deletes much. */
import { confirm as ask, isCancel } from "@clack/prompts";
import { ExitCode, UsageError } from "./session.ts";

/** Resolves if the user agrees, or has agreed by `--yes`. */
export async function confirm(
  question: string,
  { yes = false }: { readonly yes?: boolean | undefined },
): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(`${question} Nobody can be asked here: add --yes.`);
  const answer = await ask({ message: question, initialValue: false, output: process.stderr });
  if (isCancel(answer) || !answer) {
    process.stderr.write("Nothing was changed.\n");
    throw new ExitCode(1);
  }
}
