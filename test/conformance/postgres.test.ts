/** PostgresStore against the contract. */
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { defineConformance } from "./kit/conformance.ts";
import { postgresHarness } from "./kit/postgres-harness.ts";

defineConformance(
  "PostgresStore",
  postgresHarness(() => {
    const opened: PostgresStore[] = [];
    return {
      construct: (options) => {
        const store = new PostgresStore(options as PostgresStoreOptions);
        opened.push(store);
        return store;
      },
      end: async () => void (await Promise.all(opened.map((store) => store.dispose()))),
    };
  }),
);
