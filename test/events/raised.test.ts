/** What the store's own statements raise, told by the text of a failing cast. */
import { describe, expect, test } from "vitest";
import { raise, raisedBy, sanitize } from "../../src/errors.ts";
import { ServerError } from "../../src/postgres/protocol.ts";

const refused = (message: string, code = "22P02") =>
  new ServerError(Buffer.from(`VERROR\0C${code}\0M${message}\0\0`));

describe("a reason", () => {
  // With lc_messages of the server or the role.
  test.each([
    [
      "English",
      'invalid input syntax for type integer: "act-drizzle: events_left_out 2026-01-01 00:00:00+00"',
    ],
    [
      "German",
      "ungültige Eingabesyntax für Typ integer: »act-drizzle: events_left_out 2026-01-01 00:00:00+00«",
    ],
    [
      "French",
      "syntaxe en entrée invalide pour le type integer : « act-drizzle: events_left_out 2026-01-01 »",
    ],
  ])("is found in what the server says in %s", (_, message) => {
    expect(raisedBy(refused(message))).toBe("events_left_out");
    expect(sanitize(refused(message))).toMatchObject({
      code: "EVENTS_LEFT_OUT",
      message: expect.stringMatching(/nothing of it was written/),
    });
  });

  test("is none where another error, or another code, has no such text", () => {
    const message = 'invalid input syntax for type integer: "act-drizzle: events_left_out "';
    expect(raisedBy(refused(message, "P0001"))).toBeUndefined();
    expect(raisedBy(refused('invalid input syntax for type integer: "act-drizzle: else "'))).toBeUndefined();
    expect(raisedBy(refused("invalid input syntax for type json"))).toBeUndefined();
    expect(raisedBy("act-drizzle: too_late ")).toBeUndefined();
  });

  test("is raised by an expression that fails when it is evaluated, not when it is planned", () => {
    expect(raise("too_late")).toBe("('act-drizzle: too_late ' || clock_timestamp())::int");
  });
});
