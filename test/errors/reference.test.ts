/** Every error code is explained, in its message and in the reference. */
import { glob, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, expectTypeOf, test } from "vitest";
import { PAGE, renderErrorReference } from "../../scripts/error-reference.ts";
import {
  CONNECTION_ERRORS,
  type ErrorEntry,
  isConnectionErrorCode,
} from "../../src/errors/connection-error.ts";
import { SQL_STATES, STORE_REASONS } from "../../src/errors/database-error.ts";
import { connectFailed, outcomeUnknown, sanitize } from "../../src/errors.ts";
import {
  ConnectionError,
  type ConnectionErrorCode,
  DatabaseError,
  type DatabaseErrorCode,
} from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const connectionCodes = Object.keys(CONNECTION_ERRORS).filter(isConnectionErrorCode);

test("docs/reference/errors.md is what scripts/error-reference.ts writes", async () => {
  expect(await readFile(PAGE, "utf8")).toBe(renderErrorReference());
});

test("every code has a heading in the reference", async () => {
  const headings = (await readFile(PAGE, "utf8")).split("\n").filter((line) => line.startsWith("### "));
  const explained = headings.flatMap((line) => [...line.matchAll(/`(\w+)`/g)].map(([, code]) => code));
  const codes = [CONNECTION_ERRORS, STORE_REASONS, SQL_STATES].flatMap((table) => Object.keys(table));
  expect(explained.sort()).toEqual(codes.sort());
});

test("every code that src writes into a ConnectionError is in the table", async () => {
  const written = new Set<string>();
  for await (const file of glob("src/**/*.ts", { cwd: root })) {
    const text = await readFile(`${root}/${file}`, "utf8");
    for (const [, code] of text.matchAll(/new ConnectionError\(\s*"(\w+)"/g)) if (code) written.add(code);
  }
  expect(written.size).toBeGreaterThan(20);
  expect([...written].filter((code) => !isConnectionErrorCode(code))).toEqual([]);
});

test("no entry is left empty", () => {
  const entries: readonly ErrorEntry[] = [
    ...Object.values(CONNECTION_ERRORS),
    ...Object.values(STORE_REASONS),
  ];
  for (const entry of entries) for (const text of Object.values(entry)) expect(text).toMatch(/\w{2}/);
});

describe("a message ends with what to do", () => {
  test.each(connectionCodes)("in a ConnectionError: %s", (code) => {
    const { message } = new ConnectionError(code, "it happened", false);
    expect(message).toBe(`it happened: ${CONNECTION_ERRORS[code].advice}`);
  });

  test("behind a colon of its own it comes after a semicolon", () => {
    expect(outcomeUnknown().message).toMatch(
      /: it is not known whether the transaction was committed; load the stream/,
    );
    expect(new ConnectionError("DEADLINE", "", true).message).toBe(CONNECTION_ERRORS.DEADLINE.advice);
  });

  test.each(Object.entries(SQL_STATES))("in a DatabaseError: %s", (code, { advice }) => {
    expect(sanitize({ code, message: "said" }).message.endsWith(`${advice} (${code})`)).toBe(true);
  });

  test.each([
    ["23514", /a constraint refused a row \(see constraint and table\): .* \(23514\)$/],
    ["42883", /said: the statement does not fit the tables: call seed\(\)/],
    ["XX001", /amcheck/],
    ["MY001", /^look at the server's log \(MY001\)$/],
  ])("in a DatabaseError without an entry: %s, by its class", (code, advice) => {
    expect(sanitize({ code, message: "said" }).message).toMatch(advice);
  });
});

describe("a code that is not in the table", () => {
  test("of a connection that does not open is CONNECT, and named in the message", () => {
    const failure = Object.assign(new Error("bind ESTRANGE"), { code: "ESTRANGE" });
    expect(connectFailed("db:5432", failure)).toMatchObject({
      code: "CONNECT",
      message: "cannot connect to db:5432: bind ESTRANGE; check host, port and ssl",
    });
  });

  test("of a driver or a key provider makes no ConnectionError", () => {
    const refused = Object.assign(new Error("no such key"), { code: "AccessDenied" });
    const told = sanitize(refused);
    expect(told).not.toBeInstanceOf(ConnectionError);
    expect(told.message).toBe("no such key (AccessDenied)");
  });

  test("is refused by the compiler", () => {
    // @ts-expect-error: not a code
    const wrong: ConnectionErrorCode = "NOT_A_CODE";
    // @ts-expect-error: neither a known SQLSTATE nor a reason of the store
    const other: DatabaseErrorCode = "EVENTS_LEFT";
    expect([wrong, other]).toHaveLength(2);
    expectTypeOf<DatabaseError["code"]>().toEqualTypeOf<DatabaseErrorCode>();
    expect(new DatabaseError("42P01", "").code === "42P01").toBe(true);
  });
});
