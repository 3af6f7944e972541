/** Bad options of inline() are refused with one error that says what to do. */
import { expect, test } from "vitest";
import { PostgresStore } from "../../../src/index.ts";
import { inline, ProjectionError } from "../../../src/projections/index.ts";
import { events } from "./fixture.ts";

const given = (options: unknown): unknown => Reflect.apply(inline, undefined, [options]);
const noop = () => {};

test.each<[what: string, options: unknown, says: RegExp]>([
  ["no options", undefined, /inline\(\{ events: \{ Deposited \}, on:/],
  ["no handlers", { events, on: {} }, /on has no handler/],
  ["no schemas", { on: { Deposited: noop } }, /give the events' schemas/],
  [
    "an unknown option",
    { events, on: { Deposited: noop }, timeOut: 5 },
    /unknown option "timeOut"; the options are events/,
  ],
  [
    "a handler that is no function",
    { events, on: { Deposited: 5 } },
    /on\.Deposited must be a function.*not number/,
  ],
  ["a handler that is null", { events, on: { Deposited: null } }, /not null/],
  [
    "an unknown option of a handler",
    { events, on: { Deposited: { each: noop, limit: 5 } } },
    /on\.Deposited: unknown option "limit"; the options are each/,
  ],
  [
    "two functions",
    { events, on: { Deposited: { each: noop, batch: noop } } },
    /one function, as each or as batch/,
  ],
  ["a batch that is no function", { events, on: { Deposited: { batch: {} } } }, /one function/],
  [
    "an event without a schema",
    { events, on: { Deposit: noop } },
    /on\.Deposit is for an event that is not in events/,
  ],
  ["a timeout of 0", { events, on: { Deposited: noop }, timeout: 0 }, /timeout must be a whole number of ms/],
  [
    "a timeout that is text",
    { events, on: { Deposited: { each: noop, timeout: "5" } } },
    /on\.Deposited\.timeout/,
  ],
])("%s", (_, options, says) => {
  expect(() => given(options)).toThrow(ProjectionError);
  expect(() => given(options)).toThrow(says);
});

test("handlers that did not come from inline() are refused by the store, which says where they come from", () => {
  const options = { inline: { Deposited: noop } };
  const open = () => Reflect.construct(PostgresStore, [options]);
  expect(open).toThrow(/option "inline": the result of inline\(\) of act-drizzle\/projections/);
});

test("a config that is spread keeps its inline projections", () => {
  const projections = inline({ events, on: { Deposited: noop } });
  const { config } = new PostgresStore({ inline: projections });
  expect(config).not.toHaveProperty("inline");
  expect(() => new PostgresStore({ ...config, table: "other" })).not.toThrow();
});
