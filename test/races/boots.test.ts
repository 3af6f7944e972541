/** Line C4: sixteen cold boots at once. */
import type { StreamPosition } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { catalogOf } from "../migrations/catalog.ts";
import { holdFence, insertRaw } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { createActPg } from "./act-pg-layout.ts";
import { bootProcesses } from "./booters.ts";
import { type AppFixture, dense, idsOf, meta, underEveryIsolation, versions } from "./fixture.ts";

const BOOTS = 16;

/** Seeds so many new stores at the same moment. */
async function boot({ options }: AppFixture, names: readonly TableName[]): Promise<PostgresStore[]> {
  const stores = names.map((name) => new PostgresStore({ ...name, max: 2, ...options }));
  onTestFinished(async () => void (await Promise.all(stores.map((store) => store.dispose()))));
  const settled = await Promise.allSettled(stores.map((store) => store.seed()));
  expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
  return stores;
}

/** The layout that one boot makes, with nobody beside it. */
async function bootAlone(fixture: AppFixture, name: TableName): Promise<string[]> {
  await boot(fixture, [name]);
  return catalogOf(name);
}

underEveryIsolation("Sixteen cold boots at once", (fixture) => {
  test("C4: of one table", async () => {
    const layout = await bootAlone(fixture, fixture.table());
    for (let round = 0; round < fixture.scale(3, 1); round++) {
      const name = fixture.table();
      const stores = await boot(
        fixture,
        dense(BOOTS).map(() => name),
      );

      expect(await catalogOf(name)).toEqual(layout);
      await Promise.all(stores.map((store) => store.commit("s", [{ name: "Booted", data: {} }], meta)));
      expect(versions(await fixture.rows(name))).toEqual(dense(BOOTS));
    }
  });

  test("C4: of different tables in one absent schema", async () => {
    const lone = { ...fixture.table(), schema: `${fixture.database.schema}_lone` };
    const layout = await bootAlone(fixture, lone);
    onTestFinished(() => drop(fixture, lone.schema));
    for (let round = 0; round < fixture.scale(2, 1); round++) {
      const schema = `${fixture.database.schema}_absent_${round}`;
      const names = dense(BOOTS).map(() => ({ ...fixture.table(), schema }));
      const stores = await boot(fixture, names);
      onTestFinished(() => drop(fixture, schema));

      for (const [k, name] of names.entries()) {
        expect(await catalogOf(name)).toEqual(layout);
        await stores[k]?.commit("s", [{ name: "Booted", data: {} }], meta);
        expect(versions(await fixture.rows(name))).toEqual([0]);
      }
    }
  });

  test("C4: beside a store that works already", async () => {
    const name = fixture.table();
    const [worker] = await boot(fixture, [name]);
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
      fixture,
      dense(BOOTS).map(() => name),
    );
    booted = true;

    const commits = await working;
    expect(versions(await fixture.rows(name, "s"))).toEqual(dense(commits));
  });

  test("C4: of what is up to date, while transactions that write to it stay open", async () => {
    const name = fixture.table();
    const [worker] = await boot(fixture, [name]);
    await worker?.subscribe([{ stream: "t" }], 1);
    const open = await holdFence(name);
    onTestFinished(() => open.rollback());
    await insertRaw(open.sql, name, "s", 0);
    await open.sql.unsafe(`update "${name.schema}"."${name.table}_streams" set at = 5`);
    await open.sql.unsafe(`update "${name.schema}"."${name.table}_correlated" set at = 5`);

    await boot(
      fixture,
      dense(BOOTS).map(() => name),
    );
    expect((await worker?.query_stats({}))?.size).toBe(0);
  });

  test("C4, C5: of a table that act-pg made", async () => {
    const [alone, name] = [fixture.table(), fixture.table()];
    await createActPg(fixture.sql, alone);
    const layout = await bootAlone(fixture, alone);
    const kept = await createActPg(fixture.sql, name);
    const stores = await boot(
      fixture,
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
  if (fixture.full) {
    test("C4: of one table, from four processes", async () => {
      const layout = await bootAlone(fixture, fixture.table());
      for (let round = 0; round < 3; round++) {
        const name = fixture.table();

        expect(await bootProcesses(name, 4, BOOTS / 4)).toEqual([]);
        expect(await catalogOf(name)).toEqual(layout);
      }
    });

    test("C4, C5: of a table that act-pg made, from four processes", async () => {
      const [alone, name] = [fixture.table(), fixture.table()];
      await createActPg(fixture.sql, alone);
      const layout = await bootAlone(fixture, alone);
      const kept = await createActPg(fixture.sql, name);

      expect(await bootProcesses(name, 4, BOOTS / 4)).toEqual([]);
      expect(await catalogOf(name)).toEqual(layout);
      expect((await fixture.rows(name)).map(({ id }) => id)).toEqual(kept.ids);
    });
  }
});

async function drop(fixture: AppFixture, schema: string): Promise<void> {
  await fixture.sql.unsafe(`drop schema if exists "${schema}" cascade`);
}
