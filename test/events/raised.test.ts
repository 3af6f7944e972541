/** What the store's own statements raise, told by the text of a failing cast. */
import { describe, expect, test } from "vitest";
import { isRaised, raise, raisedError, sanitize } from "../../src/errors.ts";
import { insertQuery } from "../../src/events/append.ts";
import { ServerError } from "../../src/postgres/protocol.ts";
import { lockAppends, lockAppendsUntil } from "../../src/schema/append-lock.ts";
import { namesOf } from "../../src/schema/names.ts";
import { failureOf, open, prepared } from "../postgres/channel.ts";

const refused = (message: string, code = "22P02") =>
  new ServerError(Buffer.from(`VERROR\0C${code}\0M${message}\0\0`));

const LEFT_OUT = "act-drizzle: events_left_out 2026-01-01 00:00:00+00";
const LATE = "act-drizzle: too_late 2026-01-01 00:00:00+00";
const ENGLISH = "invalid input syntax for type integer: ";

describe("a reason", () => {
  // With lc_messages of the server or the role.
  test.each([
    ["English", `${ENGLISH}"${LEFT_OUT}"`],
    ["German", `ungültige Eingabesyntax für Typ integer: »${LEFT_OUT}«`],
    ["French", `syntaxe en entrée invalide pour le type integer : « ${LEFT_OUT} »`],
    ["Japanese", `"integer"型の入力構文が不正です: "${LEFT_OUT}"`],
  ])("is found in what the server says in %s", (_, message) => {
    expect(isRaised("events_left_out", refused(message))).toBe(true);
    expect(isRaised("too_late", refused(message))).toBe(false);
  });

  test("is an error for callers, without the text that said it", () => {
    expect(raisedError("events_left_out")).toMatchObject({
      code: "EVENTS_LEFT_OUT",
      message: expect.stringMatching(/nothing of it was written/),
    });
    expect(raisedError("too_late")).toMatchObject({ code: "TOO_LATE" });
  });

  test("is none where another error, or another code, has no such text", () => {
    for (const error of [
      refused(`${ENGLISH}"${LEFT_OUT}"`, "P0001"),
      refused(`${ENGLISH}"act-drizzle: else "`),
      refused("invalid input syntax for type json"),
      LEFT_OUT,
    ])
      expect(isRaised("events_left_out", error)).toBe(false);
  });

  test.each([
    `x ${LEFT_OUT}`,
    `"${LEFT_OUT}`,
    `"integer"${LEFT_OUT}`,
    `"integer""${LEFT_OUT}`,
    `»${LEFT_OUT}`,
    `{"a":"${LEFT_OUT}"}`,
  ])("is none where a value that a trigger casts only quotes it: %s", (value) => {
    expect(isRaised("events_left_out", refused(`${ENGLISH}"${value}"`))).toBe(false);
    expect(isRaised("events_left_out", refused(`"integer"型の入力構文が不正です: "${value}"`))).toBe(false);
  });

  test("is raised by an expression that fails when it is evaluated, not when it is planned", () => {
    expect(raise("too_late")).toBe("('act-drizzle: too_late ' || clock_timestamp())::int");
  });

  test("may be raised by the lock of a message that comes late, and by the INSERT, each its own", () => {
    const names = namesOf("public", "events");
    expect(lockAppends(names, 0).raises).toBeUndefined();
    expect(lockAppendsUntil(names, 0, "t", () => 0).raises).toEqual(["too_late"]);
    expect(insertQuery({ distinct: "", repeated: "" }, [], 7).raises).toEqual([
      "events_left_out",
      "ids_set_by_trigger",
    ]);
  });
});

describe("in a transaction a reason", () => {
  const lock = { text: "lock", raises: ["too_late"] } as const;
  const insert = { text: "insert", bindFirst: true, raises: ["events_left_out"] } as const;
  const causeOf = async (kind: "execute" | "bind", text: string, reason: string) => {
    const { channel, server } = await open();
    server.refuse(kind, text, { code: "22P02", message: `${ENGLISH}"${reason}"` });
    return (await failureOf(channel.run([lock, insert, { text: "other" }], prepared))).cause;
  };

  test("is taken from the statement that raises it", async () => {
    expect(await causeOf("execute", "lock", LATE)).toMatchObject({ code: "TOO_LATE" });
    expect(await causeOf("execute", "insert", LEFT_OUT)).toMatchObject({ code: "EVENTS_LEFT_OUT" });
  });

  test.each([
    ["execute", "insert", LATE],
    ["execute", "lock", LEFT_OUT],
    ["execute", "other", LEFT_OUT],
    ["bind", "insert", LEFT_OUT],
  ] as const)("is somebody else's text in the %s of %s: %s", async (kind, text, reason) => {
    const cause = await causeOf(kind, text, reason);
    expect(cause).toMatchObject({ code: "22P02" });
    expect(sanitize(cause)).toMatchObject({ code: "22P02" });
  });
});
