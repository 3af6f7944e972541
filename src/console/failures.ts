/** The failures of a request as the page gets them: a status, a code, and a message without data. */
import { StoreError, ValidationError } from "@rotorsoft/act";
import type { Failure, FailureCode } from "./api.ts";

const STATUS = {
  "bad-request": 400,
  "no-token": 401,
  "cross-site": 403,
  "read-only": 403,
  "not-found": 404,
  confirmation: 409,
  changed: 409,
  "no-state": 422,
  "too-many": 429,
  failed: 500,
  unreachable: 503,
  deadline: 504,
} as const satisfies Readonly<Record<FailureCode, number>>;

export class ConsoleError extends Error {
  override readonly name = "ConsoleError";
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** SQLSTATEs of a server that is starting or stopping, has no connection left, or cannot be reached. */
const AWAY = /^(08|57P0|53300)/;
const CANCELLED = "57014";
/** Messages for a missing table, a missing schema, and a privilege that the role lacks. */
const REFUSED: Readonly<Record<string, string>> = {
  "42P01": "The store's tables are missing: check the schema and the table, or call seed() once.",
  "3F000": "The schema is missing: check its name, or call seed() once.",
  "42501":
    "The role lacks a privilege: to read, grant it SELECT on the store's tables; for actions, also UPDATE on the table of the subscriptions (docs/guides/console.md).",
};

/** Each entry of the package is a bundle with classes of its own, so errors are recognized by name. */
const named = (error: unknown, name: string): error is Error & { readonly code?: unknown } =>
  error instanceof Error && error.name === name;

function ofDatabase(error: unknown): { readonly code: FailureCode; readonly message: string } {
  if (!(error instanceof Error)) return { code: "failed", message: "The database failed." };
  const code = "code" in error ? String(error.code) : "";
  if (named(error, "ConnectionError"))
    return code === "DEADLINE"
      ? { code: "deadline", message: "The database did not answer in time." }
      : { code: "unreachable", message: error.message };
  if (code === CANCELLED)
    return { code: "deadline", message: "The statement took too long and was ended: narrow the filter." };
  if (AWAY.test(code)) return { code: "unreachable", message: error.message };
  return { code: "failed", message: REFUSED[code] ?? error.message };
}

export function failureOf(error: unknown): {
  readonly status: (typeof STATUS)[FailureCode];
  readonly body: Failure;
} {
  const found = ((): { code: FailureCode; message: string } => {
    if (error instanceof ConsoleError) return { code: error.code, message: error.message };
    if (error instanceof ValidationError) return { code: "bad-request", message: reasonOf(error) };
    if (error instanceof StoreError) return ofDatabase(error.cause);
    return { code: "failed", message: "The console has a fault: its terminal shows it." };
  })();
  return { status: STATUS[found.code], body: { error: { code: found.code, message: found.message } } };
}

/** A fault of the console itself is shown in its terminal. */
export const isFault = (error: unknown): boolean =>
  !(error instanceof ConsoleError || error instanceof ValidationError || error instanceof StoreError);

/** The details of the framework's error say what is wrong. They hold no data but the filter of the request. */
function reasonOf(error: ValidationError): string {
  const { details } = error;
  const reason =
    typeof details === "string" ? details : details instanceof Error ? details.message : undefined;
  return reason ?? error.message;
}
