/**
 * One event that its own trigger makes fail, among commits that were called in the same turn and share its group: it
 * fails alone, whatever it does to the statement, the transaction or the connection of all.
 */
import { expect, test } from "vitest";
import type { PostgresStoreOptions } from "../../../src/index.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { amongNeighbours, count, falsehoods, putTrigger, tell } from "./fixture.ts";

const fixture = useDatabase();
const NEIGHBOURS = 40;

/** A store, warm, on whose log a trigger does this to the event named `Culprit`. */
async function triggered(body: string, options: PostgresStoreOptions = {}, deferred = false) {
  const store = await fixture.seeded(options);
  await putTrigger(
    fixture,
    store,
    `if new.name = 'Culprit' then ${body} end if; return ${deferred ? "null" : "new"};`,
    { deferred },
  );
  await store.commit("warm", [event()], meta);
  return store;
}

const CULPRITS = [
  { what: "is too slow for statement_timeout", body: "perform pg_sleep(30);", code: "57014" },
  { what: "calls a function that does not exist", body: "perform missing_function();", code: "42883" },
  { what: "reads a table that does not exist", body: "perform from missing_table;", code: "42P01" },
  {
    what: "does not get a lock in time",
    body: "raise exception 'no lock' using errcode = '55P03';",
    code: "55P03",
  },
];

for (const { what, body, code } of CULPRITS)
  test(`an event whose trigger ${what} (${code}) fails alone among ${NEIGHBOURS} neighbours`, async () => {
    const store = await triggered(body, { statement_timeout: 700 });
    const { neighbours, culprit } = await amongNeighbours(store, NEIGHBOURS, "Culprit");
    console.log(JSON.stringify({ culprit: culprit.code, neighbours: count(neighbours) }));
    expect(count(neighbours)).toEqual({ ok: NEIGHBOURS });
    expect(culprit.code).toBe(code);
    expect(await falsehoods(fixture, store, [...neighbours, culprit])).toEqual([]);
  });

test(`an event whose trigger ends its own connection fails alone among ${NEIGHBOURS} neighbours`, async () => {
  const store = await triggered("perform pg_terminate_backend(pg_backend_pid());");
  const { neighbours, culprit } = await amongNeighbours(store, NEIGHBOURS, "Culprit");
  console.log(JSON.stringify({ culprit: culprit.code, neighbours: count(neighbours) }));
  expect(count(neighbours)).toEqual({ ok: NEIGHBOURS });
  expect(culprit.error).toMatchObject({ name: "ERR_STORE", operation: "commit" });
  expect(culprit.code).not.toBe("OUTCOME_UNKNOWN");
  expect(await falsehoods(fixture, store, [...neighbours, culprit])).toEqual([]);
});

/** The server has no limit for what runs at COMMIT; the store gives up 5 s after statement_timeout. */
test("an event whose deferred trigger sleeps at COMMIT leaves no neighbour in the dark", async () => {
  const store = await triggered("perform pg_sleep(60);", { statement_timeout: 200 }, true);
  const { neighbours, culprit } = await amongNeighbours(store, 23, "Culprit");
  console.log(JSON.stringify({ culprit: culprit.code, neighbours: count(neighbours) }));
  expect(count(neighbours).OUTCOME_UNKNOWN).toBe(undefined);
  expect(culprit.code).not.toBe("ok");
  expect(await falsehoods(fixture, store, neighbours)).toEqual([]);
});

test("a commit of which a trigger leaves events out fails, says so, and is not in the log", async () => {
  const store = await triggered("return null;");
  const left = await tell("left", store.commit("left", [event(), event("Culprit"), event()], meta));
  expect(left.error).toMatchObject({
    name: "ERR_STORE",
    operation: "commit",
    cause: { message: expect.stringMatching(/trigger/) },
  });
  expect(left.code).not.toBe("OUTCOME_UNKNOWN");
  expect(await falsehoods(fixture, store, [left])).toEqual([]);
});

test("a commit of which a trigger leaves events out fails alone among its neighbours", async () => {
  const store = await triggered("return null;");
  const { neighbours, culprit } = await amongNeighbours(store, NEIGHBOURS, "Culprit");
  console.log(JSON.stringify({ culprit: culprit.code, neighbours: count(neighbours) }));
  expect(count(neighbours)).toEqual({ ok: NEIGHBOURS });
  expect(culprit.error).toMatchObject({ cause: { message: expect.stringMatching(/trigger/) } });
  expect(culprit.code).not.toBe("OUTCOME_UNKNOWN");
  expect(await falsehoods(fixture, store, [...neighbours, culprit])).toEqual([]);
});
