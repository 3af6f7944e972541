/** Payloads of notifications: in our form, in act-pg's, and what is none. */
import { describe, expect, test } from "vitest";
import { parsePayload } from "../../src/events/notify.ts";

describe("a payload", () => {
  const whole = { stream: "s", by: "b", events: [{ id: 1, name: "A" }] };

  test("of either form is read", () => {
    expect(parsePayload(JSON.stringify(whole))).toEqual({ ...whole, from: undefined, to: undefined });
    const brief = { stream: "s", events: [], from: 1, to: 3 };
    expect(parsePayload(JSON.stringify(brief))).toEqual({ ...brief, by: undefined });
    const loose = { stream: "s", by: 5, events: [{ id: 1, name: "A", more: 1 }], from: "1", to: null };
    expect(parsePayload(JSON.stringify(loose))).toEqual({
      ...whole,
      by: undefined,
      from: undefined,
      to: undefined,
    });
  });

  test.each([
    "",
    "no JSON",
    "null",
    "5",
    '"text"',
    "[]",
    "{}",
    '{"events":[]}',
    '{"stream":5,"events":[]}',
    '{"stream":"s"}',
    '{"stream":"s","events":{}}',
    '{"stream":"s","events":[null]}',
    '{"stream":"s","events":[5]}',
    '{"stream":"s","events":[{"id":"1","name":"A"}]}',
    '{"stream":"s","events":[{"id":1,"name":2}]}',
    '{"stream":"s","events":[{"id":1,"name":"A"},{}]}',
  ])("such as %s is none", (text) => {
    expect(parsePayload(text)).toBeUndefined();
  });
});
