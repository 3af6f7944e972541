/**
 * Beside a process that builds indexes: PostgreSQL fails with XX000 while it shows one that is being dropped ("cache lookup
 * failed"). Two of sixteen boots failed so once on PostgreSQL 16. The moment is too short to be met on purpose, so here
 * the server raises the error itself.
 */
import { expect, test, vi } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
import { withMigrationLock } from "../../src/migrations/migration-lock.ts";
import { MigrationFixture } from "./fixture.ts";

const fixture = new MigrationFixture();
const failure = {
  text: "do $$ begin raise exception 'cache lookup failed for attribute 1' using errcode = 'XX000'; end $$",
};

test.each([
  { what: "seed()", call: (store: object) => Reflect.get(store, "seed").call(store) },
  { what: "plan()", call: (store: object) => new Admin(store).plan() },
  { what: "doctor()", call: (store: object) => new Admin(store).doctor() },
])("$what reads the catalog again", async ({ call }) => {
  const store = await fixture.seeded(fixture.name());
  const { connections } = contextOf(store);
  const read = connections.read.bind(connections);
  let reads = 0;
  const spy = vi.spyOn(connections, "read").mockImplementation((verb, query) => {
    const fails = query.text.includes("pg_get_indexdef") && reads++ < 2;
    return read(verb, fails ? failure : query);
  });

  await call(store);
  expect(reads).toBe(3);
  spy.mockRestore();
});

test("the migration's transaction begins again", async () => {
  const context = contextOf(await fixture.seeded(fixture.name()));
  let attempts = 0;

  const found = await withMigrationLock(context, "seed", async (run) => {
    if (attempts++ === 0) await run(failure);
    return run({ text: "select 1 as one" });
  });
  expect(found).toEqual([{ one: 1 }]);
  expect(attempts).toBe(2);
});
