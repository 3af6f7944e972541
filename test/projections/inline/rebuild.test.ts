/** rebuild() of a read model that is projected in the commits, while they go on: no commit is missed, and none counts twice. */
import { drizzle } from "drizzle-orm/node-postgres";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { actPositions, rebuild } from "../../../src/projections/index.ts";
import { nodePool } from "../../support/node-pool.ts";
import { tables } from "../fixture.ts";
import { addAll, balances, counting, deposited, events, meta, useModels } from "./fixture.ts";

const models = useModels();

beforeAll(async () => {
  for (const statement of await tables({ positions: actPositions() }))
    await models.fixture.sql.unsafe(statement);
});

test("commits with an inline projection that run beside a rebuild are in the new table, once", async () => {
  const store = await models.open({ inline: counting() });
  const pool = nodePool({ connectionString: models.fixture.url, max: 3 });
  onTestFinished(() => pool.end());
  const db = drizzle(pool);
  let [done, sent, during] = [false, 0, 0];
  onTestFinished(() => {
    done = true;
  });
  const committing = async (stream: string) => {
    while (!done) await store.commit(stream, [deposited(1 + (sent++ % 5))], meta);
  };
  const load = ["a", "b", "c", "d"].map(committing);
  for (let round = 0; round < 5; round++) {
    const before = sent;
    await rebuild({
      db,
      store,
      projection: "balances",
      events: { Deposited: events.Deposited },
      tables: { balances },
      apply: (given, tx, { balances: table }) => addAll(tx, given, table),
    });
    // In a short one all commits may wait for its locks.
    during += sent - before;
  }
  expect(during).toBeGreaterThan(0);
  done = true;
  await Promise.all(load);
  expect(await models.balances()).toEqual(await models.folded(store));
});
