/** `act-drizzle seed`, `plan` and `ddl`: the tables. */
import type { Command } from "commander";
import { PostgresStore } from "../../index.ts";
import { globalOptions, UsageError, withStore } from "../session.ts";

export function seed(program: Command): void {
  program
    .command("seed")
    .summary("creates the tables, or brings them up to date")
    .description("Does what seed() does at the start of an app. `act-drizzle plan` shows first what that is.")
    .action((_options, command: Command) =>
      withStore(command, async ({ store, output }) => {
        await store.seed();
        if (output.json) output.document({ seeded: `${store.config.schema}.${store.config.table}` });
        else output.line(`${store.config.schema}.${store.config.table} is up to date.`);
      }),
    );
}

export function plan(program: Command): void {
  program
    .command("plan")
    .summary("what seed would do, and which locks it would take")
    .description("Shows the statements that seed would run, each with the lock it takes. Changes nothing.")
    .action((_options, command: Command) =>
      withStore(command, async ({ admin, output }) => {
        const steps = await admin.plan();
        if (output.json) return output.document(steps);
        if (steps.length === 0) return output.line("The tables are up to date: seed would change nothing.");
        for (const { statement, done, lock } of steps) {
          output.paragraph(`-- ${done ?? "preparation"}${lock ? `; takes ${lock}` : ""}`);
          output.line(`${statement};\n`);
        }
      }),
    );
}

export function ddl(program: Command): void {
  program
    .command("ddl")
    .summary("prints the SQL that creates the tables")
    .description("Prints the SQL that creates schema, tables and indexes. Opens no connection.")
    .addHelpText("after", "\nExample:\n  $ act-drizzle ddl --schema shop > act.sql")
    .action((_options, command: Command) => {
      const { schema, table } = globalOptions(command);
      try {
        process.stdout.write(`${PostgresStore.ddl({ schema, table })}\n`);
      } catch (error) {
        throw new UsageError(error instanceof Error ? error.message : String(error));
      }
    });
}
