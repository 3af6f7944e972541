/**
 * PostgresStore beside InMemoryStore: random sequences of every verb must leave the two equal after each
 * step. `RUNS=50000` for a long run; `SEED=… REPLAY=…`, as a failure prints them, to see one again.
 */
import { afterAll, beforeAll, describe, test } from "vitest";
import { contextOf } from "../../src/context.ts";
import { PostgresStore } from "../../src/index.ts";
import { forgetCheckpoints } from "../../src/schema/checkpoints-seen.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { findDifference, seedOfRun } from "./property.ts";

const path = process.env.REPLAY;
const runs = Number(process.env.RUNS ?? 1_000);
const seed = seedOfRun();
/** Sequences wait for the server most of the time, so several run at once, each on tables of its own. */
const lanes = path === undefined ? 5 : 1;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  console.log(`model: ${path === undefined ? runs : 1} sequences, SEED=${seed}`);
});
afterAll(() => database.drop());

describe("PostgresStore and InMemoryStore agree", () => {
  for (let lane = 0; lane < lanes; lane++) {
    const sequences = Math.ceil(runs / lanes);
    test.concurrent(
      `on ${sequences} random sequences, lane ${lane}`,
      async ({ expect, onTestFinished }) => {
        const table = `model_${lane}`;
        const store = new PostgresStore({ url: database.url, schema: database.schema, table, max: 3 });
        onTestFinished(() => store.dispose());
        await store.seed();
        const sql = connect(database.url);
        onTestFinished(() => sql.end());

        // Ids go on where the last sequence ended: the store must not mind.
        const wipe = ["", "_streams", "_correlated"]
          .map((suffix) => `delete from ${table}${suffix}`)
          .join(";");
        const subject = async () => {
          await sql.unsafe(wipe);
          // As after a restore, it would not write the first checkpoint.
          forgetCheckpoints(contextOf(store).names);
          return store;
        };
        const difference = await findDifference({ subject, firstId: 1, sequences, seed: seed + lane, path });
        expect(difference ?? "none").toBe("none");
      },
      60_000 + runs * 100,
    );
  }
});
