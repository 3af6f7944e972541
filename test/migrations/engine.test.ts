/** Servers that lack something the store needs are refused, with its name. */
import { expect, onTestFinished, test } from "vitest";
import { engineQuery, lacking, refuseEngine } from "../../src/migrations/engine.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();

async function seen(before: string): Promise<Record<string, unknown> | undefined> {
  const sql = connect(fixture.url);
  onTestFinished(() => sql.end());
  await sql.unsafe(`begin; ${before}`);
  const [row] = await sql.unsafe(engineQuery.text);
  await sql.unsafe("rollback");
  return row;
}

test("PostgreSQL lacks nothing", async () => {
  const row = await seen("select pg_advisory_xact_lock(1)");
  expect(row).toMatchObject({ server: expect.stringMatching(/^PostgreSQL 1\d/), lacks: [] });
  expect(() => refuseEngine(row)).not.toThrow();
});

test("a server whose advisory locks are none is refused", async () => {
  // As where the function is there and does nothing.
  const row = await seen("select 1");
  expect(lacking(row)).toEqual([expect.stringContaining("advisory locks that a transaction holds")]);
  expect(() => refuseEngine(row)).toThrow(
    /^the server lacks advisory locks .* it says that it is PostgreSQL .*servers\.md/,
  );
});

test("all that is missing is named", () => {
  const row = { server: "SomethingDB 1.0", lacks: [0, 3] };
  expect(() => refuseEngine(row)).toThrow(
    "the server lacks PostgreSQL 14 or newer, pg_notify (it wakes other processes): it says that it is SomethingDB 1.0",
  );
});
