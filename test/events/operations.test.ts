/** Every verb that fails says which verb it was, whatever the failure came from. */
import { type Schemas, StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { everyVerb, notified, restore } from "../conformance/kit/scenario.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

type Call = readonly [verb: string, call: () => Promise<unknown>];

/** Of each call, how it failed; a call that did not fail is told by its verb. */
async function failures(calls: readonly Call[]): Promise<unknown[]> {
  return Promise.all(
    calls.map(([verb, call]) =>
      call().then(
        () => `${verb} has not failed`,
        (error: unknown) => error,
      ),
    ),
  );
}

const failure = (operation: string, cause: object) => ({
  name: new StoreError("x").name,
  operation,
  cause: expect.objectContaining(cause),
});

test("a failure of the database is a StoreError of the verb", async () => {
  const store = fixture.store({ notify: true });
  // There are no tables.
  const calls: Call[] = [...everyVerb(store), ["notify", () => notified(store, () => {})]];
  expect(await failures(calls)).toMatchObject(calls.map(([verb]) => failure(verb, { code: "42P01" })));
});

/** A store on whose log another writer has left an event, and a sequence, that no JavaScript number reaches. */
async function beyond(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await fixture.sql`
    insert into ${fixture.sql(schema)}.${fixture.sql(table)} (id, name, data, stream, version, meta)
    values (9007199254740993, '__snapshot__', '{}', 's', 0, '{"correlation": "", "causation": {}}')`;
  const sequence = `"${schema}"."${table}_id_seq"`;
  await fixture.sql.unsafe(
    `alter sequence ${sequence} maxvalue 9007199254740999 restart with 9007199254740995`,
  );
  return store;
}

test("an id beyond 2^53 is a StoreError of the verb, and no wrong number", async () => {
  const store = await beyond();
  const before = new Date(Date.now() + 60_000);
  const calls: Call[] = [
    ["commit", () => store.commit<Schemas>("t", [event()], meta)],
    ["query", () => store.query(() => {})],
    ["query_stats", () => store.query_stats(["s"])],
    ["truncate", () => store.truncate([{ stream: "s", before }])],
  ];
  const message = expect.stringMatching(/exceeds 2\^53/);
  expect(await failures(calls)).toMatchObject(calls.map(([verb]) => failure(verb, { message })));
});

test("a failure of the key provider is a StoreError of the verb", async () => {
  const plain = await fixture.seeded({ pii_encryption: { key: new Uint8Array(32) } });
  await plain.commit<Schemas>("s", [{ ...event(), pii: { a: 1 } }], meta);
  const key = (): Uint8Array => {
    throw new Error("no key");
  };
  const store = fixture.store({ table: plain.config.table, pii_encryption: { key } });
  const calls: Call[] = [
    ["commit", () => store.commit<Schemas>("s", [{ ...event(), pii: { a: 1 } }], meta)],
    ["query", () => store.query(() => {})],
    ["restore", () => restore(store, [])],
  ];
  const message = expect.stringMatching(/no key/);
  expect(await failures(calls)).toMatchObject(calls.map(([verb]) => failure(verb, { message })));
});
