/** Triggers that somebody else has put on the log: what is told of events that they leave out or refuse. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** Before each row that is inserted; `new` is its name for the row. */
async function triggered(body: string): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`create function "${schema}"."${table}_own"() returns trigger language plpgsql as $$
    begin ${body} return new; end $$;
    create trigger own before insert on "${schema}"."${table}" for each row execute function "${schema}"."${table}_own"()`);
  return store;
}

test("a commit of which a trigger leaves out an event fails as a whole, and alone", async () => {
  const store = await triggered(`if new.name = 'Left out' then return null; end if;`);
  const [a, b, c] = await Promise.allSettled([
    store.commit("a", [event()], meta),
    store.commit("b", [event(), event("Left out")], meta),
    store.commit("c", [event()], meta, -1),
  ]);
  expect([a?.status, c?.status]).toEqual(["fulfilled", "fulfilled"]);
  expect(b).toMatchObject({
    reason: {
      name: "ERR_STORE",
      operation: "commit",
      cause: {
        code: "EVENTS_LEFT_OUT",
        message:
          "a trigger on the events table left out events of this commit: nothing of it was written; fix or drop the trigger",
      },
    },
  });
  expect((await fixture.rows(store)).map(({ stream, version }) => [stream, version])).toEqual([
    ["a", 0],
    ["c", 0],
  ]);
});

test("a trigger that fails, also at the end of the transaction, fails its own commit alone", async () => {
  const store = await triggered(`if new.name = 'Wrong' then perform no_such_function(); end if;`);
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`create function "${schema}"."${table}_late"() returns trigger language plpgsql as $$
    begin if new.name = 'Late' then raise exception 'not that' using errcode = 'P0843'; end if; return new; end $$;
    create constraint trigger late after insert on "${schema}"."${table}" deferrable initially deferred
    for each row execute function "${schema}"."${table}_late"()`);
  const commits = ["Happened", "Wrong", "Happened", "Late", "Happened"].map((name, n) =>
    store.commit(`s${n}`, [event(name)], meta).then(
      () => "stored",
      (error: unknown) => error,
    ),
  );
  expect(await Promise.all(commits)).toEqual([
    "stored",
    expect.objectContaining({ cause: expect.objectContaining({ code: "42883" }) }),
    "stored",
    expect.objectContaining({ cause: expect.objectContaining({ code: "P0843" }) }),
    "stored",
  ]);
  expect((await fixture.rows(store)).map(({ stream }) => stream)).toEqual(["s0", "s2", "s4"]);
});

test("a trigger that raises any SQLSTATE fails its own commit alone", async () => {
  const store = await triggered(
    `if new.name = 'Refused' then raise exception 'not that' using errcode = 'P0842'; end if;`,
  );
  const [before, refused, after] = await Promise.all(
    [
      store.commit("a", [event()], meta),
      store.commit("b", [event("Refused")], meta),
      store.commit("c", [event()], meta),
    ].map((commit) =>
      commit.then(
        ([first]) => first?.stream,
        (error: unknown) => error,
      ),
    ),
  );
  expect([before, after]).toEqual(["a", "c"]);
  expect(refused).toMatchObject({ operation: "commit", cause: { code: "P0842" } });
});

test("a truncate fails if a trigger leaves out its seed, rather than return an id that does not exist", async () => {
  const store = await triggered(`if new.name = '__tombstone__' then return null; end if;`);
  await store.commit("a", [event()], meta);
  const { error } = await failureOf(store.truncate([{ stream: "a" }, { stream: "b", snapshot: {} }]));
  expect(error).toMatchObject({
    name: "ERR_STORE",
    operation: "truncate",
    cause: { message: expect.stringContaining("some lack their snapshot or tombstone") },
  });
  expect(await fixture.rows(store)).toEqual([{ stream: "b", version: 0, name: "__snapshot__" }]);
});

test("a restore reports why a row was refused, and leaves everything as it was", async () => {
  const store = await triggered(
    `if new.name = 'Refused' then raise exception 'not that' using errcode = 'P0842'; end if;`,
  );
  await store.commit("kept", [event()], meta);
  const { error } = await failureOf(
    store.restore(async (insert) => {
      await insert({ ...event("Refused"), id: 0, stream: "s", version: 0, created: new Date(0), meta });
    }),
  );
  const message = expect.not.stringContaining("two events");
  expect(error).toMatchObject({ operation: "restore", cause: { code: "P0842", message } });
  expect((await fixture.rows(store)).map(({ stream }) => stream)).toEqual(["kept"]);
});
