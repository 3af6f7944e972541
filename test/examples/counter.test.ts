import { describe, expect, it } from "vitest";
import { connect, createDatabase } from "../support/database.ts";
import { Program } from "./program.ts";

const SAYS = '0  Incremented {"amount":1}\n1  Incremented {"amount":2}\ncount: 3\n';

describe("the counter", { timeout: 60_000 }, () => {
  it("counts to three on a server of its own", async () => {
    const program = new Program("scripts/example.ts", ["counter/counter.ts"]);
    expect(await program.ended()).toBe(0);
    expect(program.output).toContain(`set DATABASE_URL to use yours\n${SAYS}`);
  });

  it("leaves its events on a server that is given", async () => {
    const database = await createDatabase();
    const program = new Program("examples/counter/counter.ts", [], { DATABASE_URL: database.url });
    expect(await program.ended()).toBe(0);
    expect(program.output).toBe(SAYS);
    const sql = connect(database.url);
    expect(await sql`select stream, version from act_counter.events order by id`).toMatchObject([
      { stream: "counter1", version: 0 },
      { stream: "counter1", version: 1 },
    ]);
    await sql.end();
    await database.drop();
  });
});
