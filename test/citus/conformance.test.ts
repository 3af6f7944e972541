/** The contract on a schema that Citus keeps on a worker. */
import { beforeAll, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { defineConformance } from "../conformance/kit/conformance.ts";
import { postgresHarness } from "../conformance/kit/postgres-harness.ts";
import { titled } from "../faults/failover/programs.ts";
import { createCitusSchema, reason, TURN_MS, takeTurn } from "./cluster.ts";

const because = (why: string, names: readonly string[]) => names.map((name) => [name, why] as const);

/** What these look at, or how they set it up, is not to be had there: none of them is a line that the store breaks. */
const except = Object.fromEntries([
  ...because("the test's own DDL is several statements in one message, which Citus refuses", [
    "C5 act-pg 0.4.6 is taken over with events, watermarks and blocks",
    "C5 subscriptions of act-pg 0.4.6 go on where they stood",
    "C5 the current act-pg layout is taken over with pii, lanes, errors and checkpoint",
    "C5 a checkpoint per correlator is taken over",
    "C5 ids of an adopted table go on, and versions with them",
    "C5 act-pg goes on writing to the table that was taken over",
    "C6 a new subscription starts at retry −1 whatever the column's default",
  ]),
  ...because("the rows that are read are counted on the worker", [
    "Q7 a load reads the events since the snapshot, not those before it",
    "Q7 looking for the snapshot of a stream without one reads no other rows",
    "Q9 ^literal$ reads the rows of that stream",
    "Q9 ^literal reads the rows in its range",
    "Q9 a drain's fetch reads the rows it returns",
    "Q10 a query that is abandoned early has not read the log",
    "R4 heads of a few streams are not paid for by the others",
  ]),
  ...because("who waits for a row waits on the worker", [
    "L13 a deadlock with a foreign transaction is retried, not surfaced",
    "L13 an ack waits for a row that another transaction holds, and lands",
  ]),
  ...because("Citus has no triggers on distributed tables", [
    "L13 what the server undoes because of others is run again, whatever the verb",
  ]),
]);

if (reason) test.skip(titled("the contract holds on Citus", reason));
else {
  beforeAll(() => takeTurn(), TURN_MS);
  defineConformance("PostgresStore on Citus", {
    ...postgresHarness(() => {
      const opened: PostgresStore[] = [];
      return {
        construct: (options) => {
          const store = new PostgresStore(options as PostgresStoreOptions);
          opened.push(store);
          return store;
        },
        end: async () => void (await Promise.all(opened.map((store) => store.dispose()))),
      };
    }, createCitusSchema),
    except,
  });
}
