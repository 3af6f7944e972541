/** Many schemas, seeded some at a time. */
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore, seedAll } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { Tenants } from "./fixture.ts";

const fixture = useDatabase();
const tenants = new Tenants(fixture);

class Fake {
  static running = 0;
  static peak = 0;
  readonly #fails: boolean;
  constructor(fails = false) {
    this.#fails = fails;
  }
  async seed(): Promise<void> {
    Fake.running++;
    Fake.peak = Math.max(Fake.peak, Fake.running);
    await new Promise(setImmediate);
    Fake.running--;
    if (this.#fails) throw new Error("no");
  }
}

test("all are seeded, no more than asked for at the same time, and each is reported", async () => {
  Fake.peak = 0;
  const reports: number[] = [];
  const stores = Array.from({ length: 10 }, () => new Fake());
  await seedAll(stores, { parallel: 3, onProgress: ({ done, total }) => reports.push(done / total) });
  expect(Fake.peak).toBe(3);
  expect(reports).toEqual([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
});

test("one that fails does not keep the others from being seeded", async () => {
  const stores = [new Fake(), new Fake(true), new Fake()];
  const failed: Fake[] = [];
  const seeding = seedAll(stores, { onProgress: ({ store, error }) => error && failed.push(store) });
  await expect(seeding).rejects.toThrow("1 of 3 stores could not be seeded");
  await expect(seeding).rejects.toBeInstanceOf(AggregateError);
  expect(failed).toEqual([stores[1]]);
});

test("an abort begins with no further store", async () => {
  const stop = new AbortController();
  let seeded = 0;
  const onProgress = () => {
    seeded++;
    stop.abort(new Error("enough"));
  };
  const stores = Array.from({ length: 10 }, () => new Fake());
  await expect(seedAll(stores, { parallel: 1, onProgress, signal: stop.signal })).rejects.toThrow("enough");
  expect(seeded).toBe(1);
});

test.each([0, -1, 1.5, Number.NaN])("parallel: %s is refused", async (parallel) => {
  await expect(seedAll([], { parallel })).rejects.toThrow(RangeError);
});

test("schemas are created in parallel, also by two processes at once", async () => {
  const schemas = Array.from({ length: 12 }, (_, n) => `many_${n}`);
  const storesOf = () => {
    const database = tenants.database({ max: 8 });
    return schemas.map((schema) => new PostgresStore({ database, schema }));
  };
  const stores = storesOf();
  await Promise.all([seedAll(stores, { parallel: 4 }), seedAll(storesOf(), { parallel: 4 })]);
  for (const store of stores) expect(await store.commit("s", [event()], meta)).toHaveLength(1);
});

test("a schema is created while another one's seed() waits", async () => {
  const database = tenants.database();
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder.unsafe("begin; create schema held_one");
  const waiting = new PostgresStore({ database, schema: "held_one" }).seed();
  await eventually(async () => (await fixture.sql`select from pg_locks where not granted`).length > 0);
  await new PostgresStore({ database, schema: "free_one" }).seed();
  await holder.unsafe("rollback");
  await waiting;
});
