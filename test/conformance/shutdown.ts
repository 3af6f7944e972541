/** drop and dispose: the ends of a store's data and of a store. */
import { StoreError } from "@rotorsoft/act";
import { expect } from "vitest";
import { eventually, throughout, within } from "./kit/eventually.ts";
import { appendWaiters, backendsOf, holdAppendLock, tablesOf, unusedName } from "./kit/postgres.ts";
import {
  append,
  arrange,
  at,
  everyVerb,
  idsOf,
  notified,
  pending,
  positions,
  readAll,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

export const shutdown = section("drop and dispose", (line) => {
  line(
    "C7",
    "a drop removes events, subscriptions and checkpoints, and a seed starts over",
    async ({ store }) => {
      await append(store, "s", "A", "B");
      await arrange(store, [{ stream: "a", at: 1 }]);
      await store.subscribe([], 9, { key: "k", by: "w1", millis: 60_000 });
      await store.drop();
      await store.seed();
      expect(await readAll(store)).toEqual([]);
      expect(await positions(store)).toEqual([]);
      expect((await store.subscribe([])).correlated_at).toBe(-1);
      expect(await store.subscribe([], undefined, { key: "k", by: "w2", millis: 1 })).toMatchObject({
        correlated_at: -1,
        correlating: true,
      });
      expect(at(await append(store, "s", "A"), 0).version).toBe(0);
    },
  );

  line("C7", "a drop of what is not there does not throw", async ({ store }) => {
    await store.drop();
    await store.drop();
    await store.seed();
    expect(await append(store, "s", "A")).toHaveLength(1);
  });

  line(
    "C7",
    "a drop in a schema that is not there does not throw",
    { needs: ["sql"] },
    async ({ second }) => {
      const store = await second({ schema: "never_made" });
      await expect(store.drop()).resolves.toBeUndefined();
    },
  );

  line(
    "C7",
    "a drop leaves every other table of the schema",
    { needs: ["sql", "shared"] },
    async (fixture) => {
      const { store, raw, second } = fixture;
      const neighbour = await second({ table: `${raw.table}_streams2` });
      await neighbour.seed();
      await append(neighbour, "s", "A");
      const own = raw.sql`${raw.sql(raw.schema)}.${raw.sql(`${raw.table}_mine`)}`;
      await raw.sql`create table ${own} (n int)`;
      await store.drop();
      expect(await readAll(neighbour)).toHaveLength(1);
      expect(await raw.sql`select from ${own}`).toHaveLength(0);
      await neighbour.drop();
      await raw.sql`drop table ${own}`;
    },
  );

  line("C7", "a drop leaves nothing of its own", { needs: ["sql"] }, async ({ store, raw }) => {
    await store.drop();
    const left = await raw.sql`
      select relname from pg_class where relnamespace = ${raw.schema}::regnamespace
        and starts_with(relname, ${`${raw.table}_`}) or relname = ${raw.table}`;
    expect([...left]).toEqual([]);
  });

  line(
    "C7",
    "a drop leaves the schema and what others keep in it",
    { needs: ["sql", "shared"] },
    async (fixture) => {
      const { raw, second } = fixture;
      const schema = unusedName("own");
      const store = await second({ schema });
      await store.seed();
      await raw.sql.unsafe(`create table ${schema}.mine (n int)`);
      await store.drop();
      expect(await raw.sql.unsafe(`select from ${schema}.mine`)).toHaveLength(0);
      await raw.sql.unsafe(`drop schema ${schema} cascade`);
    },
  );

  line("C7", "a drop does not take a user's view along", { needs: ["sql"] }, async ({ store, raw }) => {
    const view = raw.sql`${raw.sql(raw.schema)}.${raw.sql(`v_${raw.table}`)}`;
    await raw.sql`create view ${view} as select count(*) as events from ${tablesOf(raw).events}`;
    // Refusing is fine; losing the view is not.
    await store.drop().catch((error: unknown) => expect(error).toBeInstanceOf(StoreError));
    expect(await raw.sql`select from pg_views where viewname = ${`v_${raw.table}`}`).toHaveLength(1);
    await raw.sql`drop view ${view}`;
  });

  line("C8", "dispose may be called twice, at once or later", async ({ store }) => {
    await append(store, "s", "A");
    await Promise.all([store.dispose(), store.dispose()]);
    await expect(store.dispose()).resolves.toBeUndefined();
  });

  line("C8", "a store that never connected can be disposed of", { needs: ["sql"] }, async ({ raw }) => {
    const store = raw.construct({ host: "127.0.0.1", port: 1, notify: true });
    await within(5_000, "the disposal", store.dispose());
  });

  line(
    "C8",
    "dispose drains the commits that are queued",
    { needs: ["shared"] },
    async ({ store, second }) => {
      const other = await second();
      const commits = Array.from({ length: 60 }, (_, n) => append(store, `s${n % 5}`, "A"));
      const disposed = store.dispose();
      const landed = (await Promise.all(commits)).flat();
      await disposed;
      expect(idsOf(landed).sort((a, b) => a - b)).toEqual(idsOf(await readAll(other)));
    },
  );

  line(
    "C8",
    "dispose waits for a commit that waits for the log's lock",
    { needs: ["sql", "shared"] },
    async (fixture) => {
      const { store, second, raw } = fixture;
      const other = await second();
      const holder = await holdAppendLock(raw);
      const committing = append(store, "s", "A");
      await appendWaiters(raw);
      const disposed = store.dispose();
      await holder.commit();
      expect(await within(8_000, "the commit", committing)).toHaveLength(1);
      await within(8_000, "the disposal", disposed);
      expect(await readAll(other)).toHaveLength(1);
    },
  );

  line("C8", "an operation after dispose rejects with a StoreError", async ({ store }) => {
    await append(store, "s", "A");
    await store.dispose();
    const accepted: string[] = [];
    for (const [verb, call] of everyVerb(store)) {
      const outcome = await within(
        8_000,
        verb,
        Promise.resolve()
          .then(call)
          .catch((error: unknown) => error),
      );
      if (!(outcome instanceof StoreError)) accepted.push(verb);
    }
    expect(accepted).toEqual([]);
  });

  line(
    "C8",
    "seed, drop and notify after dispose reject with a StoreError",
    {
      needs: ["sql", "notify"],
      options: { notify: true },
    },
    async ({ store }) => {
      await store.dispose();
      await expect(store.seed()).rejects.toBeInstanceOf(StoreError);
      await expect(store.drop()).rejects.toBeInstanceOf(StoreError);
      await expect(notified(store, () => {})).rejects.toBeInstanceOf(StoreError);
    },
  );

  line(
    "C8",
    "dispose closes every connection, and none comes back",
    {
      needs: ["sql", "notify"],
      options: { notify: true },
    },
    async ({ store, raw }) => {
      await notified(store, () => {});
      await Promise.all([append(store, "s", "A"), readAll(store), pending(store, "a"), positions(store)]);
      expect((await backendsOf(raw, raw.table)).length).toBeGreaterThan(0);
      await store.dispose();
      const gone = async () => (await backendsOf(raw, raw.table)).length === 0;
      await eventually(gone);
      await throughout(700, gone);
    },
  );

  line(
    "C8",
    "dispose leaves the connections of other stores and of the caller",
    { needs: ["sql", "shared"] },
    async (fixture) => {
      const { store, second, raw } = fixture;
      const other = await second();
      await append(other, "s", "A");
      await readAll(store);
      await store.dispose();
      expect(await readAll(other)).toHaveLength(1);
      expect(await raw.sql`select 1 as one`).toHaveLength(1);
    },
  );

  line(
    "C8",
    "the disposer of a subscription may run after dispose",
    {
      needs: ["sql", "notify"],
      options: { notify: true },
    },
    async ({ store }) => {
      const disposer = await notified(store, () => {});
      await store.dispose();
      await disposer();
    },
  );

  line(
    "C8",
    "an operation is refused from the call of dispose on, while commits are still drained",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      const holder = await holdAppendLock(raw);
      const committing = append(store, "s", "A");
      await appendWaiters(raw);
      const disposed = store.dispose();
      const asked = readAll(store).catch((error: unknown) => error);
      expect(await within(5_000, "the refusal", asked)).toBeInstanceOf(StoreError);
      await holder.commit();
      await Promise.all([committing, disposed]);
    },
  );
});
