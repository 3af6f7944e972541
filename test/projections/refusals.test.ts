/** What cannot work is refused with one error that says what to do, and nothing is written. */
import { drizzle as drizzlePg } from "drizzle-orm/node-postgres";
import { pgTable, text } from "drizzle-orm/pg-core";
import { drizzle as drizzleProxy } from "drizzle-orm/pg-proxy";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import {
  actPositions,
  exactlyOnce,
  namesForTarget,
  ProjectionError,
  progressOf,
  rebuild,
  redeliver,
} from "../../src/projections/index.ts";
import { Deposited } from "../framework/account.ts";
import { count, counted, counters, DRIVERS, onNodePostgres } from "./fixture.ts";

/** Nobody listens here: whoever sends anything fails. */
const unreachable = () => {
  const pool = new pg.Pool({ host: "127.0.0.1", port: 1 });
  onTestFinished(() => pool.end());
  return drizzlePg(pool);
};

/** Calls a function with what its types forbid. */
const call = (made: (...args: never[]) => unknown, ...args: unknown[]): unknown =>
  Reflect.apply(made, undefined, args);

const REFUSED: readonly (readonly [what: string, refused: () => unknown, says: RegExp])[] = [
  ["no options", () => call(exactlyOnce), /give its options as an object/],
  ["no db", () => call(exactlyOnce, { projection: "p" }), /db must be a Drizzle database on PostgreSQL/],
  [
    "a driver's client as db",
    () => call(exactlyOnce, { db: new pg.Client(), projection: "p" }),
    /give what drizzle\(\) of/,
  ],
  ["no projection", () => call(exactlyOnce, { db: unreachable() }), /projection must be a name/],
  [
    "an empty projection",
    () => exactlyOnce({ db: unreachable(), projection: "" }),
    /projection must be a name/,
  ],
  [
    "a projection that is no text",
    () => call(exactlyOnce, { db: unreachable(), projection: 5 }),
    /projection must be a name/,
  ],
  [
    "another table as positions",
    () => call(exactlyOnce, { db: unreachable(), projection: "p", positions: pgTable("t", { at: text() }) }),
    /that actPositions\(\) made/,
  ],
  ...(["do", "batch", "flush"] as const).map((method) => {
    const refused = () => call(exactlyOnce({ db: unreachable(), projection: "p" })[method], "no function");
    return [`a ${method} handler that is no function`, refused, /must get a function, not string/] as const;
  }),
];

test.each([...REFUSED])("%s is refused at once", (_, refused, says) => {
  expect(refused).toThrow(ProjectionError);
  expect(refused).toThrow(says);
});

/** What rebuild() takes, but for the databases: nobody listens at them. */
const rebuilding = () => {
  const store = new PostgresStore({ url: "postgres://127.0.0.1:1/none" });
  onTestFinished(() => store.dispose());
  const tables = { counters };
  return { db: unreachable(), store, projection: "p", events: { Deposited }, tables, apply: async () => {} };
};

const REBUILDS: readonly (readonly [what: string, given: object, says: RegExp])[] = [
  ["no db", { db: undefined }, /rebuild: db must be a Drizzle database/],
  ["no store", { store: undefined }, /store must be the PostgresStore/],
  ["no projection", { projection: "" }, /projection must be the name that exactlyOnce got/],
  ["other positions", { positions: counters }, /that actPositions\(\) made/],
  ["no events", { events: {} }, /events must be the schemas/],
  ["no tables", { tables: {} }, /tables must be an object of your Drizzle tables/],
  ["tables that are none", { tables: { counters: "counters" } }, /tables must be an object/],
  ["apply that is no function", { apply: "no" }, /apply must be a function/],
  ["batches of no events", { batchSize: 0 }, /batchSize must be a whole number of events from 1/],
  ["batches of a half", { batchSize: 1.5 }, /batchSize must be a whole number/],
];

test.each([...REBUILDS])("a rebuild with %s is refused, and nothing is sent", async (_, given, says) => {
  const refused = Promise.resolve(call(rebuild, { ...rebuilding(), ...given }));
  await expect(refused).rejects.toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
  await expect(refused).rejects.toThrow(says);
});

const app = { reset: async () => 0 };
test.each([
  ["no app", { app: {} }, /app must be what act\(\)…build\(\) returns/],
  ["no targets", { app, targets: "p" }, /targets must be the projection's targets/],
  ["no tables", { app, targets: ["p"], tables: undefined }, /tables must be an object/],
])("redeliver with %s is refused, and nothing is sent", async (_what, given, says) => {
  // What a rebuild takes may be spread into it, but for the store, which the app has.
  const { store: _, ...definition } = rebuilding();
  const refused = Promise.resolve(call(redeliver, { ...definition, ...given }));
  await expect(refused).rejects.toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
  await expect(refused).rejects.toThrow(says);
});

test.each([undefined, null, 5, {}, { registry: {} }])("namesForTarget of %o is refused", (given) => {
  expect(() => call(namesForTarget, given, "t")).toThrow(/namesForTarget: app must be what act/);
});

test.each([
  ["no options", undefined, /give its options as an object/],
  ["no app", { app: {} }, /app must be what act\(\)…build\(\) returns/],
  ["no store", { app: { on: () => {}, registry: { events: {} } } }, /store must be the PostgresStore/],
])("progressOf with %s is refused", (_, given, says) => {
  expect(() => call(progressOf, given)).toThrow(says);
});

test("a driver without transactions is refused, with the name of one that has them", () => {
  const db = drizzleProxy(async () => ({ rows: [] }));
  const refused = () => exactlyOnce({ db, projection: "p" });
  expect(refused).toThrow(expect.objectContaining({ code: "NO_TRANSACTIONS" }));
  expect(refused).toThrow(/pg-proxy: use a driver with a connection/);
});

for (const [driver, open] of Object.entries(DRIVERS))
  test(`on ${driver}, a positions table that is missing is named with what to do, and nothing is written`, async () => {
    const db = await open({ counters });
    const called: string[] = [];
    const once = exactlyOnce({ db, projection: "p" });
    const event = { id: 1, stream: "s", data: { amount: 1 } };
    const calls = [
      once.do(async (_: typeof event, tx) => {
        called.push("do");
        await count(tx, event);
      })(event, "t"),
      once.batch(async (_: readonly (typeof event)[]) => void called.push("batch"))([event], "t"),
      once.flush(async (_: readonly { stream: string; event_id: number }[]) => void called.push("flush"))([
        { stream: "s", event_id: 1 },
      ]),
    ];
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: {
          code: "POSITIONS_MISSING",
          message: expect.stringMatching(
            /act_positions is missing.*export actPositions\(\).*drizzle-kit push/,
          ),
        },
      });
    expect(called).toEqual([]);
    expect(await counted(db)).toEqual([]);
  });

test("a query of a handler that fails says so without the values of the event", async () => {
  const db = await onNodePostgres();
  const once = exactlyOnce({ db, projection: "p" });
  const secret = "s3cret-payload";
  const handler = once.do(async (_: { id: number }, tx) => {
    await tx.insert(counters).values({ stream: secret, total: 1, events: 1 });
    await tx.insert(counters).values({ stream: secret, total: 1, events: 1 });
  });
  const error: unknown = await handler({ id: 3 }, "t").catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "HANDLER_FAILED", cause: { code: "23505" } });
  if (!(error instanceof Error)) throw new Error("no error");
  expect(error.message).toContain('handler "p" of projection "p" failed at event 3');
  expect(JSON.stringify([error.message, error.stack, String(error.cause)])).not.toContain(secret);
});

test("an error of the handler's own passes as it is", async () => {
  const db = await onNodePostgres();
  const own = new Error("mine");
  const handler = exactlyOnce({ db, projection: "p", positions: actPositions() }).do(
    async (_: { id: number }) => {
      throw own;
    },
  );
  await expect(handler({ id: 1 }, "t")).rejects.toBe(own);
});
