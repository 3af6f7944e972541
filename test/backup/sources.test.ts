/** What the source of an import, or the driver of a restore, may ask for while these hold the append lock and a connection. */
import { expect, onTestFinished, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { PostgresDatabase, PostgresStore } from "../../src/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
let tables = 0;

/** Two seeded stores on one PostgresDatabase; the first has an event. A call that waits for itself fails after 30 s. */
async function onOneDatabase(max: number): Promise<readonly [PostgresStore, PostgresStore]> {
  const { schema, ...parts } = fixture.parts;
  const database = new PostgresDatabase({ ...parts, max, connectionTimeoutMillis: 30_000 });
  onTestFinished(() => database.dispose());
  const [from, to] = [0, 1].map(
    () => new PostgresStore({ database, schema, table: `shared${tables++}` }),
  ) as [PostgresStore, PostgresStore];
  await from.seed();
  await to.seed();
  await from.commit("s", [event("A"), event("B")], meta);
  return [from, to];
}

const refused = (operation: string) => ({
  operation,
  cause: {
    code: "IN_RESTORE",
    sent: false,
    message: expect.stringMatching(/max: 3 or more/),
  },
});

/** What the call rejects with, and that it does not wait. */
async function failureOf(call: Promise<unknown>): Promise<unknown> {
  const start = performance.now();
  const failure = await call.then(
    () => "it was not refused",
    (error: unknown) => error,
  );
  expect(performance.now() - start).toBeLessThan(15_000);
  return failure;
}

test.each([1, 2])(
  "with max: %i an import from a store on the same connections is refused at once",
  async (max) => {
    const [from, to] = await onOneDatabase(max);
    const [source, target] = [new Admin(from), new Admin(to)];
    expect(await failureOf(target.import(source.export()))).toMatchObject(refused("export"));
    // The connection is free again, and nothing was imported.
    const lines: string[] = [];
    for await (const line of source.export()) lines.push(line);
    expect(await to.query(() => {})).toBe(0);
    expect(
      await target.import(
        (async function* () {
          yield* lines;
        })(),
      ),
    ).toMatchObject({ events: 2 });
  },
);

test("with max: 3 an import reads from a store on the same connections", async () => {
  const [from, to] = await onOneDatabase(3);
  expect(await new Admin(to).import(new Admin(from).export())).toMatchObject({ events: 2 });
});

test.each([1, 2])(
  "with max: %i a restore that reads another store on the same connections is refused at once",
  async (max) => {
    const [from, to] = await onOneDatabase(max);
    await to.commit("kept", [event()], meta);
    const restored = to.restore(
      async (insert) => void (await from.query(async (each) => void (await insert(each)))),
    );
    expect(await failureOf(restored)).toMatchObject(refused("query"));
    expect(await to.query(() => {})).toBe(1);
  },
);

test("with max: 1 a commit to another store on the same connection is refused at once, and with max: 2 it is stored", async () => {
  for (const max of [1, 2]) {
    const [from, to] = await onOneDatabase(max);
    const restored = to.restore(async () => void (await from.commit("s", [event()], meta)));
    if (max === 1) expect(await failureOf(restored)).toMatchObject(refused("commit"));
    else await restored;
    // Afterwards nothing is refused any more.
    await from.commit("s", [event()], meta);
    expect(await from.query(() => {})).toBe(max === 1 ? 3 : 4);
  }
});

test.each(["commit", "truncate", "restore", "dispose"] as const)(
  "a source that calls %s of the store that it is imported into is refused at once",
  async (verb) => {
    const store = await fixture.seeded();
    const call = {
      commit: () => store.commit("s", [event()], meta),
      truncate: () => store.truncate([{ stream: "s" }]),
      restore: () => store.restore(async () => {}),
      dispose: () => store.dispose(),
    }[verb];
    async function* source(): AsyncGenerator<string> {
      await call();
      yield "";
    }
    const failure = await failureOf(new Admin(store).import(source()));
    expect(failure).toMatchObject({ ...refused(verb), cause: { code: "IN_RESTORE", sent: false } });
    expect(String(failure)).toContain(
      "was called by the source of an import, and would wait for that import",
    );
    await store.commit("s", [event()], meta);
    expect(await store.query(() => {})).toBe(1);
  },
);

test("a source may read the store that it is imported into with max: 3, and an import within an import is refused", async () => {
  const store = await fixture.seeded({ max: 3 });
  await store.commit("s", [event()], meta);
  const admin = new Admin(store);
  expect(await admin.import(admin.export(), { mode: "replace" })).toMatchObject({ events: 1 });
  async function* source(): AsyncGenerator<string> {
    await admin.import(admin.export(), { mode: "replace" });
    yield "";
  }
  expect(await failureOf(admin.import(source(), { mode: "replace" }))).toMatchObject({
    operation: "import",
    cause: { code: "IN_RESTORE" },
  });
  expect(await store.query(() => {})).toBe(1);
});

test("what a source has started, and not waited for, is not refused once the import has ended", async () => {
  const [from, to] = await onOneDatabase(1);
  const done = Promise.withResolvers<void>();
  let later: Promise<unknown> = Promise.resolve();
  async function* source(): AsyncGenerator<string> {
    later = done.promise.then(() => from.query(() => {}));
    yield* [];
  }
  await failureOf(new Admin(to).import(source()));
  done.resolve();
  expect(await later).toBe(2);
});
