/** Which payloads of notifications are read, and which are ignored. */
import { expect, test } from "vitest";
import { parsePayload } from "../../src/notifications/payload.ts";

const MAX = Number.MAX_SAFE_INTEGER;
const event = (id: unknown, name: unknown = "A") => ({ id, name });
const whole = (...ids: unknown[]) => ({ stream: "s", by: "b", events: ids.map((id) => event(id)) });
const brief = (from: unknown, to: unknown) => ({ stream: "s", by: "b", events: [], from, to });

test("a payload names its stream, its sender and its events, in order", () => {
  expect(parsePayload(JSON.stringify(whole(1, 2, 9)))).toEqual({ ...whole(1, 2, 9), range: undefined });
});

test("a shortened payload names a range instead", () => {
  const { from, to, ...rest } = brief(3, 7);
  expect(parsePayload(JSON.stringify(brief(3, 7)))).toEqual({ ...rest, range: { from, to } });
  expect(parsePayload(JSON.stringify(brief(3, 3)))?.range).toEqual({ from: 3, to: 3 });
});

test("a range beside events is ignored", () => {
  expect(parsePayload(JSON.stringify({ ...whole(1), from: 1, to: 1 }))?.range).toBeUndefined();
});

test("unknown fields are ignored, and the sender may be missing", () => {
  const more = { stream: "s", by: null, from: null, events: [{ ...event(1), more: 1 }], more: 1 };
  expect(parsePayload(JSON.stringify(more))).toEqual({ ...whole(1), by: undefined, range: undefined });
});

test("ids are read up to the largest safe integer", () => {
  expect(parsePayload(JSON.stringify(whole(MAX)))?.events).toEqual([event(MAX)]);
  expect(parsePayload(JSON.stringify(brief(1, MAX)))?.range).toEqual({ from: 1, to: MAX });
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
  '{"stream":5,"events":[{"id":1,"name":"A"}]}',
  '{"stream":"s"}',
  '{"stream":"s","events":{}}',
  '{"stream":"s","events":[]}',
  '{"stream":"s","events":[null]}',
  '{"stream":"s","events":[5]}',
  '{"stream":"s","events":[{"id":1,"name":"A"},{}]}',
  // JSON has no NaN and no Infinity, but a number too large for a double is read as one.
  '{"stream":"s","events":[{"id":1e999,"name":"A"}]}',
])("%s is ignored", (text) => {
  expect(parsePayload(text)).toBeUndefined();
});

const noIds: unknown[] = [1e300, MAX + 1, 1.5, 0, -1, -0.5, "1", null, true, [1], {}];

test.each(noIds)("a payload that has an event with the id %j is ignored", (id) => {
  for (const ids of [[id], [1, id], [id, 1]])
    expect(parsePayload(JSON.stringify(whole(...ids)))).toBeUndefined();
});

test.each(noIds)("a payload whose range begins or ends at %j is ignored, even beside events", (id) => {
  expect(parsePayload(JSON.stringify(brief(id, 5)))).toBeUndefined();
  expect(parsePayload(JSON.stringify(brief(1, id)))).toBeUndefined();
  if (id !== null) expect(parsePayload(JSON.stringify({ ...whole(1), to: id }))).toBeUndefined();
});

test.each<[string, unknown]>([
  ["a range that runs backward", brief(2, 1)],
  ["events out of order", whole(2, 1)],
  ["an event named twice", whole(1, 1)],
  ["a sender that is no text", { ...whole(1), by: 5 }],
  ["an event's name that is no text", { ...whole(), events: [event(1, 2)] }],
  ["an event's name with U+0000", { ...whole(), events: [event(1, "A\0")] }],
  ["an event's name with a lone surrogate", { ...whole(), events: [event(1, "\ud800")] }],
  ["a stream with U+0000", { ...whole(1), stream: "s\0" }],
  ["a stream with a lone surrogate", { ...whole(1), stream: "\udc00" }],
])("%s makes it none", (_, payload) => {
  expect(parsePayload(JSON.stringify(payload))).toBeUndefined();
});
