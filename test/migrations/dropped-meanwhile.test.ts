/** Beside a process that builds indexes: PostgreSQL fails while it shows one that is being dropped. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { contextOf } from "../../src/context.ts";
import { look } from "../../src/migrations/look.ts";
import { MigrationFixture, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
/** Enough for the server to be caught in between many times. */
const ROUNDS = 200;

test("an index that is dropped meanwhile fails neither the look of seed(), nor plan(), nor doctor()", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  const { names, connections } = contextOf(store);
  const index = `${name.table}_old_ix_0`;
  const sql = fixture.connect();
  let churning = true;
  const churn = (async () => {
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await sql.unsafe(`create index "${index}" on ${tablesOf(name).streams} (at)`);
        await sql.unsafe(`drop index "${name.schema}"."${index}"`);
      }
    } finally {
      churning = false;
    }
  })();
  const admin = new Admin(store);
  const looks = [() => look(connections, names), () => admin.plan(), () => admin.doctor()].map(
    async (read) => {
      let reads = 0;
      for (; churning; reads++) await read();
      return reads;
    },
  );

  const [, ...counts] = await Promise.all([churn, ...looks]);
  for (const count of counts) expect(count).toBeGreaterThan(5);
});
