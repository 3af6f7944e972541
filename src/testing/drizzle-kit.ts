/** The statements that drizzle-kit would push for a user's tables. */

/** drizzle-kit is a tool of the user's project: it is loaded where tables are given, and from there. */
export async function statementsFor(tables: Record<string, unknown>): Promise<string[]> {
  let kit: typeof import("drizzle-kit/api");
  try {
    kit = await import("drizzle-kit/api");
  } catch (cause) {
    throw new Error(
      "act-drizzle/testing: testKit({ tables }) makes them by drizzle-kit, which was not found: npm install --save-dev drizzle-kit, or make them in setup.",
      { cause },
    );
  }
  const statements = await kit.generateMigration(
    kit.generateDrizzleJson({}),
    kit.generateDrizzleJson(tables),
  );
  return statements.map((statement) => statement.trim().replace(/;$/, ""));
}
