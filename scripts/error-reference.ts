/** docs/reference/errors.md, from the tables in src/errors. `node scripts/error-reference.ts` writes it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CONNECTION_ERRORS, type ErrorEntry } from "../src/errors/connection-error.ts";
import { OTHER_CLASS, SQL_STATE_CLASSES, SQL_STATES, STORE_REASONS } from "../src/errors/database-error.ts";

export const PAGE = join(import.meta.dirname, "../docs/reference/errors.md");

const INTRODUCTION = `# Errors

<!-- Generated from src/errors by scripts/error-reference.ts. -->

A verb fails with one of these errors.

| error | what it means |
|---|---|
| \`ConcurrencyError\` | \`expectedVersion\` is not the stream's head. Nothing was written. Load the stream and decide again. |
| \`ValidationError\` | The input cannot be stored or matched. Nothing was written. The details name the stream, event or option, and no values. |
| what your own code throws | A callback of a query or a driver of restore() threw it. It passes unchanged. |
| \`StoreError\` | The database failed. \`operation\` is the verb, and \`cause\` is one of the errors below. |
| \`InlineProjectionError\` | An [inline projection](../guides/projections.md#inline-projections) refused the commit. Nothing was written. It is a \`StoreError\`: \`event\` and \`stream\` say which, \`code\` is \`HANDLER_FAILED\` or \`TIMED_OUT\`, and \`cause\` is the handler's own error. |

The message of a \`StoreError\` ends with that of its cause, and so does its stack: a logger that prints nothing else
still says why. No message holds event data, personal data or a password.

\`\`\`ts
import { StoreError } from "@rotorsoft/act";
import { ConnectionError, DatabaseError, type ConnectionErrorCode } from "act-drizzle";

/** What to do about a commit that failed. */
export function reaction(error: unknown): "load the stream" | "try again" | "give up" {
  if (!(error instanceof StoreError)) return "give up";
  const { cause } = error;
  const passing: readonly ConnectionErrorCode[] = ["CONNECTION_CLOSED", "QUEUE_FULL", "POOL_TIMEOUT"];
  if (cause instanceof ConnectionError) {
    if (cause.code === "OUTCOME_UNKNOWN") return "load the stream";
    return passing.includes(cause.code) ? "try again" : "give up";
  }
  return cause instanceof DatabaseError && cause.code === "57P03" ? "try again" : "give up";
}
\`\`\`

A \`cause\` of another class is an error of the driver, or of a key provider of yours. Its message stands as it is.
`;

const sentence = (text: string): string => {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
};

/** One heading for all codes that share an entry. */
function section(codes: readonly string[], { happened, applied, advice, retry }: ErrorEntry): string {
  return `### ${codes.map((code) => `\`${code}\``).join(", ")}

${sentence(happened)}

- **Is the work done?** ${applied}
- **What to do:** ${sentence(advice)}
- **May I retry?** ${retry}
`;
}

function sections(table: Readonly<Record<string, ErrorEntry>>): string {
  const codes = new Map<ErrorEntry, string[]>();
  for (const [code, entry] of Object.entries(table)) codes.set(entry, [...(codes.get(entry) ?? []), code]);
  return [...codes].map(([entry, list]) => section(list, entry)).join("\n");
}

export function renderErrorReference(): string {
  const states = Object.entries(SQL_STATES).map(([code, { condition, advice, retry }]) =>
    section([code], {
      happened: `PostgreSQL's \`${condition}\``,
      applied: "No. PostgreSQL undid the statement, and the transaction that it was part of.",
      advice,
      retry,
    }),
  );
  const classes = Object.entries(SQL_STATE_CLASSES).map(
    ([code, advice]) => `| \`${code}…\` | ${sentence(advice)} |`,
  );
  return `${INTRODUCTION}
## ConnectionError

The connection was lost or could not be opened, or the store refused the call or gave it up. \`sent\` is \`false\` when the
statement certainly did not run. The type \`ConnectionErrorCode\` has every code.

${sections(CONNECTION_ERRORS)}
## DatabaseError

PostgreSQL answered, and refused. \`code\` is the SQLSTATE, or a reason of the store's own; \`constraint\` and \`table\` are
there when the server named them. The type \`DatabaseErrorCode\` has every code that stands here, and any other SQLSTATE.

## DatabaseError: reasons of the store's own statements

${sections(STORE_REASONS)}
## DatabaseError: SQLSTATEs

${states.join("\n")}
## DatabaseError: any other SQLSTATE

Nothing of the statement was stored. Its class, the first two characters, says what to look at. The list of all is in
[PostgreSQL's manual](https://www.postgresql.org/docs/current/errcodes-appendix.html).

| class | what to do |
|---|---|
${classes.join("\n")}
| others | ${sentence(OTHER_CLASS)} |
`;
}

if (import.meta.main) writeFileSync(PAGE, renderErrorReference());
