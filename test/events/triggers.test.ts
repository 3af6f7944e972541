/** Triggers that somebody else has put on the log: what is told of events that they leave out or refuse. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { restorable, restore } from "../conformance/kit/scenario.ts";
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

test("an event that a trigger refuses fails the restore, and is not called a duplicate", async () => {
  const store = await triggered(`if new.version = 1 then raise exception 'no'; end if;`);
  await store.commit("kept", [event()], meta);
  const { error } = await failureOf(restore(store, [restorable("s", 0), restorable("s", 1)]));
  expect(error).toMatchObject({
    operation: "restore",
    cause: { code: "P0001", message: "refused by PostgreSQL (P0001)" },
  });
  expect((await scene.rows(store)).map(({ stream }) => stream)).toEqual(["kept"]);
});
