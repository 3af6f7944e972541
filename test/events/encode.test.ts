/** Messages on their way in: what is written for them, and each refusal with its reason. */
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { encodeEvents } from "../../src/events/encode-messages.ts";
import { decrypt } from "../../src/values/pii-encryption.ts";

const meta = { correlation: "c", causation: {} };
const date = new Date(86_400_000);
const key = new Uint8Array(32).fill(9);

const encode = (msg: object, over: object = {}) => {
  const given = { stream: "s", meta, key: undefined, ...over };
  return encodeEvents(given.stream, [msg as never], given.meta as never, given.key);
};

test("a message is JSON text, with the paths of its Dates beside it", () => {
  expect(encode({ name: "A", data: { n: 1 } })).toEqual({
    events: [{ name: "A", data: '{"n":1}', pii: null, dates: "{}" }],
    meta: '{"correlation":"c","causation":{}}',
  });
  const dated = { at: date };
  const iso = '{"at":"1970-01-02T00:00:00.000Z"}';
  expect(encode({ name: "A", data: dated, pii: dated }, { meta: dated })).toEqual({
    events: [{ name: "A", data: iso, pii: iso, dates: '{"data":[["at"]],"meta":[["at"]],"pii":[["at"]]}' }],
    meta: iso,
  });
  expect(encode({ name: "A", data: {}, pii: dated }).events[0]?.dates).toBe('{"pii":[["at"]]}');
  expect(encode({ name: "A", data: dated }).events[0]?.dates).toBe('{"data":[["at"]]}');
  expect(encode({ name: "A", data: {} }, { meta: dated }).events[0]?.dates).toBe('{"meta":[["at"]]}');
});

test.each([undefined, null])("meta and pii of %s are none", (none) => {
  const { events, meta: text } = encode({ name: "A", data: {}, pii: none }, { meta: none });
  expect(text).toBe('{"correlation":"","causation":{}}');
  expect(events).toEqual([{ name: "A", data: "{}", pii: null, dates: "{}" }]);
});

test("what has no JSON at all is stored as null", () => {
  for (const data of [undefined, () => 1, Symbol("s")])
    expect(encode({ name: "A", data }).events[0]?.data).toBe("null");
});

test("with a key, pii and the paths of its Dates are envelopes, and nothing else is", () => {
  const { events } = encode({ name: "A", data: { at: date }, pii: { at: date } }, { key });
  const { data, pii, dates } = events[0] ?? {};
  expect(data).toBe('{"at":"1970-01-02T00:00:00.000Z"}');
  expect(decrypt([key], JSON.parse(pii ?? ""), "it")).toEqual({ at: "1970-01-02T00:00:00.000Z" });
  const noted = JSON.parse(dates ?? "");
  expect(noted.data).toEqual([["at"]]);
  expect(decrypt([key], noted.pii, "it")).toEqual([["at"]]);
  expect(JSON.parse(encode({ name: "A", data: {}, pii: {} }, { key }).events[0]?.dates ?? "")).toEqual({});
});

const circular: Record<string, unknown> = {};
circular.self = circular;
const BAD = "contains U+0000 or a lone surrogate, which PostgreSQL cannot store";
const NO_JSON = "cannot be written as JSON (a BigInt, a circular reference, or nested too deep)";

test.each([
  ["a stream that is no text", { name: "A", data: {} }, { stream: 5 }, "the stream must be a string"],
  ["a stream with a NUL", { name: "A", data: {} }, { stream: "a\0" }, `the stream's name ${BAD}`],
  ["meta that is a list", { name: "A", data: {} }, { meta: [] }, "meta must be an object"],
  ["meta that is text", { name: "A", data: {} }, { meta: "m" }, "meta must be an object"],
  ["meta with a NUL", { name: "A", data: {} }, { meta: { m: "\0" } }, `meta ${BAD}`],
  ["meta that is circular", { name: "A", data: {} }, { meta: circular }, `meta ${NO_JSON}`],
  ["no message", null, {}, "an event's name must be a string"],
  ["a name that is no text", { name: 5, data: {} }, {}, "an event's name must be a string"],
  ["a name with a NUL", { name: "a\0", data: {} }, {}, `an event's name ${BAD}`],
  ["data with a NUL", { name: "A", data: { d: "\0" } }, {}, `data ${BAD}`],
  ["data with a NUL in the key of a Date", { name: "A", data: { "\0": date } }, {}, `data ${BAD}`],
  ["data with a BigInt", { name: "A", data: { d: 1n } }, {}, `data ${NO_JSON}`],
  ["data that is circular", { name: "A", data: circular }, {}, `data ${NO_JSON}`],
  ["pii with half a character", { name: "A", data: {}, pii: { p: "\ud800" } }, {}, `pii ${BAD}`],
  ["pii with a BigInt", { name: "A", data: {}, pii: { p: 1n } }, {}, `pii ${NO_JSON}`],
  ["pii that would be encrypted", { name: "A", data: {}, pii: { p: "\0" } }, { key }, `pii ${BAD}`],
] as const)("%s is refused, naming the stream and the events", (_, msg, over, reason) => {
  const stream = "stream" in over ? over.stream : "s";
  const shown = typeof stream === "string" ? stream : "number";
  const name = msg && typeof msg.name === "string" ? msg.name : "?";
  try {
    encodeEvents(
      stream,
      [{ name: "First", data: {} }, msg as never],
      ("meta" in over ? over.meta : meta) as never,
      "key" in over ? over.key : undefined,
    );
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    const events = ["First", name];
    expect(error.target).toBe("event");
    expect(error.payload).toEqual({ stream: shown, events });
    expect(error.details).toEqual({ stream: shown, events, reason });
  }
});
