/** Triggers that somebody else has put on the log: what is told of events that they leave out or refuse. */
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import { inline } from "../../src/projections/index.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useDatabase();

/** Before each row that is inserted; `new` is its name for the row. */
async function triggered(body: string, options: PostgresStoreOptions = {}): Promise<PostgresStore> {
  const store = await fixture.seeded(options);
  await addTrigger(store, "insert", body);
  return store;
}

async function addTrigger(store: PostgresStore, on: "insert" | "update" | "delete", body: string) {
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`create function "${schema}"."${table}_own"() returns trigger language plpgsql as $$
    begin ${body} return new; end $$;
    create trigger own before ${on} on "${schema}"."${table}" for each row execute function "${schema}"."${table}_own"()`);
}

const refusal = (operation: string, says: string) => ({
  name: "ERR_STORE",
  operation,
  cause: { message: expect.stringContaining(says) },
});

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
          "a trigger on the events table left out events of this commit or truncate: nothing of it was written; fix or drop the trigger",
      },
    },
  });
  expect((await fixture.rows(store)).map(({ stream, version }) => [stream, version])).toEqual([
    ["a", 0],
    ["c", 0],
  ]);
});

test("commit, inline projections and truncate get the created that a trigger has stored, of each event", async () => {
  const projected: { id: number; created: Date }[] = [];
  const store = await triggered(
    `if new.name <> 'Happened' then new.created := timestamptz '2020-01-01Z' + (new.version + 0.0017) * interval '1 second'; end if;`,
    {
      inline: inline({
        events: { Projected: z.object({}) },
        on: { Projected: async (given) => void projected.push(...given) },
      }),
    },
  );
  const dated = event("Dated");
  // The first commit goes alone, and the others wait for it, and go in one batch.
  const committed = await Promise.all([
    store.commit("alone", [event(), dated, dated], meta),
    store.commit("a", [event()], meta),
    store.commit("b", [dated, event(), dated], meta),
    store.commit("b", [dated], meta),
    store.commit("inline", [event(), event("Projected"), event("Projected")], meta),
  ]);
  const truncated = await store.truncate([{ stream: "c" }, { stream: "d", snapshot: {} }]);
  const told = [...committed.flat(), ...[...truncated.values()].map(({ committed: first }) => first)];
  const stored = new Map<number, Date>();
  await store.query(({ id, created }) => void stored.set(id, created), { with_snaps: true });
  expect(stored.size).toBe(13);
  expect(new Map(told.map(({ id, created }) => [id, created]))).toEqual(stored);
  expect(told.filter(({ created }) => created.getUTCFullYear() === 2020)).toHaveLength(9);
  expect(projected.map(({ id, created }) => [id, created])).toEqual(
    [...stored].filter(([id]) => projected.some((given) => given.id === id)),
  );
  expect(projected).toHaveLength(2);
});

const SETS_IDS = {
  "by its stream": "new.id := -abs(hashtext(new.stream)) - 10 * new.version;",
  "by an offset": "new.id := new.id + 1000;",
  "by a sequence of its own": "new.id := nextval('$own');",
  "by replacing the row": "new := jsonb_populate_record(new, jsonb_build_object('id', nextval('$own')));",
};

describe.each(Object.entries(SETS_IDS))("a trigger that sets ids %s", (_, body) => {
  /** Ids that the sequence has given out, and one that counts down from below it. */
  async function withIds(condition = "true"): Promise<PostgresStore> {
    const store = await fixture.seeded();
    const { schema, table } = store.config;
    await store.commit(
      "before",
      Array.from({ length: 10 }, () => event()),
      meta,
    );
    const own = `"${schema}"."${table}_own_seq"`;
    await fixture.sql.unsafe(`create sequence ${own} minvalue -1000 start -1 increment -1`);
    await addTrigger(store, "insert", `if ${condition} then ${body.replace("$own", own)} end if;`);
    return fixture.store({ table });
  }
  const refused = { cause: { code: "IDS_SET_BY_TRIGGER" } };

  test("makes commits fail, of one event and of many", async () => {
    const store = await withIds();
    for (const size of [1, 2, 6])
      await expect(
        store.commit(
          "s",
          Array.from({ length: size }, () => event()),
          meta,
        ),
      ).rejects.toMatchObject(refused);
    const results = await Promise.allSettled(["a", "b", "b"].map((s) => store.commit(s, [event()], meta)));
    for (const result of results) expect(result).toMatchObject({ reason: refused });
    expect(await fixture.rows(store)).toHaveLength(10);
  });

  test("makes a truncate fail, which keeps the stream", async () => {
    const store = await withIds();
    await expect(store.truncate([{ stream: "before" }])).rejects.toMatchObject(refused);
    expect(await fixture.rows(store)).toHaveLength(10);
  });

  test("of some events only fails their commits alone", async () => {
    const store = await withIds("new.name = 'Wrong'");
    const results = await Promise.allSettled(
      ["Happened", "Wrong", "Happened"].map((name, n) => store.commit(`s${n}`, [event(name)], meta)),
    );
    expect(results).toMatchObject([{ status: "fulfilled" }, { reason: refused }, { status: "fulfilled" }]);
  });
});

test("a trigger that draws ids from the log's sequence is obeyed, with one event and with many", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await addTrigger(store, "insert", `new.id := nextval('"${schema}"."${table}_id_seq"');`);
  for (const size of [1, 2, 6])
    await store.commit(
      "s",
      Array.from({ length: size }, () => event()),
      meta,
    );
  await store.truncate([{ stream: "s" }]);
  await store.commit("s", [event()], meta);
  expect(await fixture.rows(store)).toHaveLength(2);
});

test("beside a harmless trigger the sequence may give way to another, while the store works", async () => {
  const store = await triggered("");
  const { schema, table } = store.config;
  await store.commit(
    "s",
    Array.from({ length: 20 }, () => event()),
    meta,
  );
  await fixture.sql.unsafe(`alter table "${schema}"."${table}" alter id drop default,
    alter id add generated by default as identity (start with 30)`);
  // The refused INSERT has drawn 30.
  for (const id of [31, 32]) expect(await store.commit("s", [event()], meta)).toMatchObject([{ id }]);
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

test("a truncate fails if a trigger leaves out a first event, and keeps the streams", async () => {
  const store = await triggered(`if new.name = '__tombstone__' then return null; end if;`);
  await store.commit("a", [event()], meta);
  const { error } = await failureOf(store.truncate([{ stream: "a" }, { stream: "b", snapshot: {} }]));
  expect(error).toMatchObject({
    name: "ERR_STORE",
    operation: "truncate",
    cause: { code: "EVENTS_LEFT_OUT" },
  });
  expect(await fixture.rows(store)).toMatchObject([{ stream: "a", version: 0, name: "Happened" }]);
});

test("a truncate fails if a trigger keeps events, rather than put a first event beside them", async () => {
  const store = await fixture.seeded();
  await store.commit("a", [event(), event(), event("__snapshot__"), event()], meta);
  await store.truncate([{ stream: "a", before: new Date(Date.now() + 60_000) }]);
  const before = await fixture.rows(store);
  await addTrigger(store, "delete", `if old.name = 'Happened' then return null; end if; new := old;`);
  await expect(store.truncate([{ stream: "a" }])).rejects.toMatchObject({
    name: "ERR_STORE",
    operation: "truncate",
    cause: { code: "EVENTS_KEPT", message: expect.stringContaining("kept events from being deleted") },
  });
  expect(await fixture.rows(store)).toEqual(before);
});

test("a truncate goes on if a writer without the append lock has truncated the stream at the same moment", async () => {
  const store = await fixture.seeded();
  await store.commit("a", [event(), event(), event()], meta);
  const { schema, table } = store.config;
  const other = connect(fixture.url);
  onTestFinished(() => other.end());
  await other.unsafe(`begin; delete from "${schema}"."${table}" where stream = 'a'`);
  const truncated = store.truncate([{ stream: "a", snapshot: { n: 1 } }]);
  await until("the truncate waits for the rows", async () => (await fixture.rowWaiters(store)) === 1);
  await other.unsafe(`insert into "${schema}"."${table}" (stream, version, name, data, meta)
    values ('a', 0, '__tombstone__', '{}', '{}'); commit`);
  expect((await truncated).get("a")).toMatchObject({ deleted: 1, committed: { version: 0 } });
  expect(await fixture.rows(store)).toEqual([{ stream: "a", version: 0, name: "__snapshot__" }]);
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

test("a restore and an import fail if a trigger leaves out an event, and leave everything as it was", async () => {
  const store = await triggered(`if new.name = 'Left out' then return null; end if;`);
  await store.commit("kept", [event()], meta);
  const events = ["Happened", "Left out", "Happened"].map((name, version) => ({
    ...event(name),
    ...{ id: version + 1, stream: "s", version, created: new Date(0), meta },
  }));
  const { error } = await failureOf(
    store.restore(async (insert) => {
      for (const one of events) await insert(one);
    }),
  );
  expect(error).toMatchObject(refusal("restore", "left out 1 of 3 events"));
  async function* lines() {
    for (const [n, name] of ["id,name,data,stream,version,created,meta", "Happened", "Left out"].entries())
      yield n === 0 ? `${name}\n` : `${n},${name},{},s,${n - 1},2026-01-01T00:00:00.000Z,{}\n`;
  }
  const options = { mode: "replace", format: "csv" } as const;
  const { error: ofImport } = await failureOf(new Admin(store).import(lines(), options));
  expect(ofImport).toMatchObject(refusal("import", "left out 1 of 2 events"));
  expect((await fixture.rows(store)).map(({ stream }) => stream)).toEqual(["kept"]);
});

test("a restore and an import fail if a trigger sets ids, and leave everything as it was", async () => {
  const store = await triggered("new.id := new.id + 1000;");
  const restored = { ...event(), id: 1, stream: "s", version: 0, created: new Date(0), meta };
  const { error } = await failureOf(
    store.restore(async (insert) => {
      await insert(restored);
    }),
  );
  expect(error).toMatchObject(refusal("restore", "gave events other ids: fix or drop the trigger"));
  async function* lines() {
    yield "id,name,data,stream,version,created,meta\n";
    yield "1,Happened,{},s,0,2026-01-01T00:00:00.000Z,{}\n";
  }
  const { error: ofImport } = await failureOf(
    new Admin(store).import(lines(), { mode: "empty", format: "csv" }),
  );
  expect(ofImport).toMatchObject(refusal("import", "gave events other ids: fix or drop the trigger"));
  expect(await fixture.rows(store)).toEqual([]);
});

test("a restore fails if a trigger keeps the old log from being deleted", async () => {
  const store = await fixture.seeded();
  await store.commit("kept", [event()], meta);
  await addTrigger(store, "delete", "if old.stream = 'kept' then return null; end if; return old;");
  const { error } = await failureOf(store.restore(async () => {}));
  expect(error).toMatchObject(refusal("restore", "were not deleted, because a trigger kept them"));
  expect((await fixture.rows(store)).map(({ stream }) => stream)).toEqual(["kept"]);
});

test.each([
  ["leaves rows out", "return null;"],
  ["writes the old values again", "return old;"],
])("forget_pii fails if a trigger %s, rather than say that there was no pii", async (_, body) => {
  const store = await fixture.seeded();
  await store.commit("s", [{ ...event(), pii: { name: "Ada" } }], meta);
  await addTrigger(store, "update", body);
  const { error } = await failureOf(store.forget_pii("s"));
  expect(error).toMatchObject(refusal("forget_pii", "kept pii of this stream from being erased"));
  expect(String(error)).not.toContain("Ada");
  expect(await store.forget_pii("other")).toBe(0);
});

test("two calls of forget_pii at once both succeed, and count each event once", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [{ ...event(), pii: { name: "Ada" } }], meta);
  const gate = await fixture.closedGate(71);
  await addTrigger(store, "update", `${gate.text.replace("select", "perform")}; return new;`);
  const erased = [store.forget_pii("s"), store.forget_pii("s")];
  // One waits for the gate. The other one waits for the row, which it has found before it was erased.
  await until("both are at the row", async () => {
    const waiting = await fixture.sql`
      select from pg_stat_activity where application_name = ${store.config.application_name} and wait_event_type = 'Lock'`;
    return waiting.length === 2;
  });
  await gate.open();
  expect((await Promise.all(erased)).toSorted()).toEqual([0, 1]);
});
