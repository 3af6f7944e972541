/** The contract on a schema that Citus keeps on a worker. */
import { afterAll, beforeAll, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { defineConformance } from "../conformance/kit/conformance.ts";
import { postgresHarness } from "../conformance/kit/postgres-harness.ts";
import { titled } from "../faults/failover/programs.ts";
import { createCitusSchema, reason, TURN_MS, takeTurn } from "./cluster.ts";
import { Workers } from "./stored.ts";

if (reason) test.skip(titled("the contract holds on Citus", reason));
else {
  const workers = new Workers();
  afterAll(() => workers.end());
  // Alone: some tests shut the database for a moment, or count all its deadlocks.
  beforeAll(() => takeTurn(true), TURN_MS);
  defineConformance("PostgresStore on Citus", {
    ...postgresHarness(
      () => {
        const opened: PostgresStore[] = [];
        return {
          construct: (options) => {
            const store = new PostgresStore(options as PostgresStoreOptions);
            opened.push(store);
            return store;
          },
          end: async () => void (await Promise.all(opened.map((store) => store.dispose()))),
        };
      },
      createCitusSchema,
      workers.locate,
    ),
  });
}
