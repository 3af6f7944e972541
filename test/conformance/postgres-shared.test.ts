/** The same contract for stores that share the connections of a PostgresDatabase. */
import { SharedStores } from "../support/shared.ts";
import { defineConformance } from "./kit/conformance.ts";
import { postgresHarness } from "./kit/postgres-harness.ts";

defineConformance(
  "PostgresStore of a PostgresDatabase",
  postgresHarness(() => new SharedStores()),
);
