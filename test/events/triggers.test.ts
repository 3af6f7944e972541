/** Triggers that somebody else has put on the log: what is told of events that they leave out or refuse. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { event, failureOf, meta, useScene } from "../connections/scene.ts";

const scene = useScene();

/** Before each row that is inserted; `new` is its name for the row. */
async function triggered(body: string): Promise<PostgresStore> {
  const store = await scene.seeded();
  const { schema, table } = store.config;
  await scene.sql.unsafe(`create function "${schema}"."${table}_own"() returns trigger language plpgsql as $$
    begin ${body} return new; end $$;
    create trigger own before insert on "${schema}"."${table}" for each row execute function "${schema}"."${table}_own"()`);
  return store;
}

test("a commit of which a trigger has left something out may have landed: it is told so, and none goes again", async () => {
  const store = await triggered(`if new.name = 'Left out' then return null; end if;`);
  const commits = [
    store.commit("a", [event()], meta),
    store.commit("b", [event(), event("Left out")], meta),
    store.commit("c", [event()], meta, -1),
  ].map(failureOf);
  for (const { error } of await Promise.all(commits))
    expect(error).toMatchObject({
      name: "ERR_STORE",
      operation: "commit",
      cause: {
        code: "OUTCOME_UNKNOWN",
        sent: true,
        message:
          "the database's answer does not match what was sent, as when a trigger leaves events out: the commit may have landed; load the stream before trying again",
      },
    });
  expect((await scene.rows(store)).map(({ stream, version }) => [stream, version])).toEqual([
    ["a", 0],
    ["b", 0],
    ["c", 0],
  ]);
});

test("an error that names its own code is its commit's alone, whatever digits are in the code", async () => {
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

test("a truncate whose seed a trigger has left out says so, rather than name an id that is none", async () => {
  const store = await triggered(`if new.name = '__tombstone__' then return null; end if;`);
  await store.commit("a", [event()], meta);
  const { error } = await failureOf(store.truncate([{ stream: "a" }, { stream: "b", snapshot: {} }]));
  expect(error).toMatchObject({
    name: "ERR_STORE",
    operation: "truncate",
    cause: { message: expect.stringContaining("not each has its seed") },
  });
  expect(await scene.rows(store)).toEqual([{ stream: "b", version: 0, name: "__snapshot__" }]);
});

test("a restore tells of what refused it, which need not be a duplicate, and leaves everything", async () => {
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
  expect((await scene.rows(store)).map(({ stream }) => stream)).toEqual(["kept"]);
});
