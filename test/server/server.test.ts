import { expect, test } from "vitest";
import { connect, createDatabase } from "../support/database.ts";

test("the server answers, in UTF-8, on a database of the test's own", async () => {
  const database = await createDatabase();
  const sql = connect(database.url);
  try {
    const [row] = await sql`select version(), current_setting('server_encoding') as encoding`;
    expect(row?.version).toMatch(/^PostgreSQL \d+/);
    expect(row?.encoding).toBe("UTF8");
  } finally {
    await sql.end();
    await database.drop();
  }
});
