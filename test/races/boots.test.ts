/** Line C4: sixteen cold boots at once. */
import type { StreamPosition } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { catalogOf } from "../migrations/catalog.ts";
import { holdFence, insertRaw } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { createActPg } from "./act-pg-layout.ts";
import { bootProcesses } from "./booters.ts";
import { dense, idsOf, meta, underEveryIsolation, versions, type World } from "./fixture.ts";

const BOOTS = 16;

/** Seeds so many new stores at the same moment. */
async function boot({ options }: World, names: readonly TableName[]): Promise<PostgresStore[]> {
  const stores = names.map((name) => new PostgresStore({ ...name, max: 2, ...options }));
  onTestFinished(async () => void (await Promise.all(stores.map((store) => store.dispose()))));
  const settled = await Promise.allSettled(stores.map((store) => store.seed()));
  expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
  return stores;
}

/** The layout that one boot makes, with nobody beside it. */
async function bootAlone(world: World, name: TableName): Promise<string[]> {
  await boot(world, [name]);
  return catalogOf(name);
}

underEveryIsolation("Sixteen cold boots at once", (world) => {
  test("C4: of one table", async () => {
    const layout = await bootAlone(world, world.table());
    for (let round = 0; round < world.scale(3, 1); round++) {
      const name = world.table();
      const stores = await boot(
        world,
        dense(BOOTS).map(() => name),
      );

      expect(await catalogOf(name)).toEqual(layout);
      await Promise.all(stores.map((store) => store.commit("s", [{ name: "Booted", data: {} }], meta)));
      expect(versions(await world.rows(name))).toEqual(dense(BOOTS));
    }
  });

  test("C4: of different tables in one absent schema", async () => {
    const lone = { ...world.table(), schema: `${world.database.schema}_lone` };
    const layout = await bootAlone(world, lone);
    onTestFinished(() => drop(world, lone.schema));
    for (let round = 0; round < world.scale(2, 1); round++) {
      const schema = `${world.database.schema}_absent_${round}`;
      const names = dense(BOOTS).map(() => ({ ...world.table(), schema }));
      const stores = await boot(world, names);
      onTestFinished(() => drop(world, schema));

      for (const [k, name] of names.entries()) {
        expect(await catalogOf(name)).toEqual(layout);
        await stores[k]?.commit("s", [{ name: "Booted", data: {} }], meta);
        expect(versions(await world.rows(name))).toEqual([0]);
      }
    }
  });

  test("C4: beside a store that works already", async () => {
    const name = world.table();
    const [worker] = await boot(world, [name]);
    let booted = false;
    const working = (async () => {
      let commits = 0;
      while (!booted || commits < 50) {
        await worker?.commit("s", [{ name: "Worked", data: {} }], meta, commits - 1);
        commits++;
      }
      return commits;
    })();
    await boot(
      world,
      dense(BOOTS).map(() => name),
    );
    booted = true;

    const commits = await working;
    expect(versions(await world.rows(name, "s"))).toEqual(dense(commits));
  });

  test("C4: of what is up to date, while transactions that write to it stay open", async () => {
    const name = world.table();
    const [worker] = await boot(world, [name]);
    await worker?.subscribe([{ stream: "t" }], 1);
    const open = await holdFence(name);
    onTestFinished(() => open.rollback());
    await insertRaw(open.sql, name, "s", 0);
    await open.sql.unsafe(`update "${name.schema}"."${name.table}_streams" set at = 5`);
    await open.sql.unsafe(`update "${name.schema}"."${name.table}_correlated" set at = 5`);

    await boot(
      world,
      dense(BOOTS).map(() => name),
    );
    expect((await worker?.query_stats({}))?.size).toBe(0);
  });

  test("C4, C5: of a table that act-pg made", async () => {
    const [alone, name] = [world.table(), world.table()];
    await createActPg(world.sql, alone);
    const layout = await bootAlone(world, alone);
    const kept = await createActPg(world.sql, name);
    const stores = await boot(
      world,
      dense(BOOTS).map(() => name),
    );

    expect(await catalogOf(name)).toEqual(layout);
    const [first] = stores;
    if (!first) throw new Error("sixteen stores were booted");
    expect(await idsOf(first)).toEqual(kept.ids);
    const found: Partial<StreamPosition>[] = [];
    await first.query_streams(({ stream, at, blocked, error }) => found.push({ stream, at, blocked, error }));
    expect(found).toEqual(kept.positions);
    const commits = stores.map((store) => store.commit("new", [{ name: "Booted", data: {} }], meta));
    expect(
      (await Promise.all(commits))
        .flat()
        .map(({ id }) => id)
        .sort((a, b) => a - b),
    ).toEqual(dense(BOOTS, (kept.ids.at(-1) ?? 0) + 1));
  });

  // Starting processes takes long, and the isolation is each store's own matter: tried by the tests above.
  if (world.full) {
    test("C4: of one table, from four processes", async () => {
      const layout = await bootAlone(world, world.table());
      for (let round = 0; round < 3; round++) {
        const name = world.table();

        expect(await bootProcesses(name, 4, BOOTS / 4)).toEqual([]);
        expect(await catalogOf(name)).toEqual(layout);
      }
    });

    test("C4, C5: of a table that act-pg made, from four processes", async () => {
      const [alone, name] = [world.table(), world.table()];
      await createActPg(world.sql, alone);
      const layout = await bootAlone(world, alone);
      const kept = await createActPg(world.sql, name);

      expect(await bootProcesses(name, 4, BOOTS / 4)).toEqual([]);
      expect(await catalogOf(name)).toEqual(layout);
      expect((await world.rows(name)).map(({ id }) => id)).toEqual(kept.ids);
    });
  }
});

async function drop(world: World, schema: string): Promise<void> {
  await world.sql.unsafe(`drop schema if exists "${schema}" cascade`);
}
