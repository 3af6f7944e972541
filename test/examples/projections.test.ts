import { expect, test } from "vitest";
import { connect, createDatabase } from "../support/database.ts";
import { Program } from "./program.ts";

test("the projections example counts every deposit once, fills a new projection, and rebuilds one", {
  timeout: 60_000,
}, async () => {
  const database = await createDatabase();
  const program = new Program("examples/projections/main.ts", [], { DATABASE_URL: database.url });
  expect(await program.ended()).toBe(0);
  expect(program.output).toBe(
    [
      "the commit has left 101 in the statement of account-0",
      "40 accounts hold 920",
      "after every event was delivered again they hold 920",
      "40 of 41 targets are new: 40 accounts, the biggest deposit is 100",
      "rebuilt from 41 events, they hold 920",
      "",
    ].join("\n"),
  );
  const sql = connect(database.url);
  expect(await sql`select sum(deposits)::int as deposits from act_projections.balances`).toEqual([
    { deposits: 41 },
  ]);
  await sql.end();
  await database.drop();
});
