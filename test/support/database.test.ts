import { expect, test } from "vitest";
import { startPostgres } from "../../dev/postgres/index.ts";
import { connect, createDatabase } from "./database.ts";

// On a server of its own: the one of the run may not let us create roles.
test("a test gets a schema of its own where it may not create a database", async () => {
  const server = await startPostgres({ prefer: "embedded", inMemory: true });
  const admin = connect(server.url);
  try {
    await admin`create role guest login password 'plain'`;
    await admin`grant create on database postgres to guest`;
    const database = await createDatabase(`postgres://guest:plain@127.0.0.1:${server.port}/postgres`);

    const sql = connect(database.url);
    await sql`create table here (id int)`;
    await sql.end();
    const [row] = await admin`select schemaname from pg_tables where tablename = 'here'`;
    expect(row?.schemaname).toBe(database.schema);

    await database.drop();
    expect(await admin`select 1 from pg_namespace where nspname = ${database.schema}`).toHaveLength(0);
  } finally {
    await admin.end();
    await server.stop();
  }
});
