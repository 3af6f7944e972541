/** pii at rest: the envelope, what the tables hold, and what happens when it cannot be opened. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { log, type Schemas, StoreError } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { PiiKeys } from "../../src/values/pii-keys.ts";
import { contents } from "../input/log.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };
const key = randomBytes(32);
const SECRET = "s3cret@example.com";
const pii = { email: SECRET, born: new Date(0), "s3cret@key": { at: new Date(1) } };

const encrypted = (over: object = {}) => fixture.seeded({ pii_encryption: { key }, ...over });
const sameTable = ({ config }: PostgresStore, over: object = {}) =>
  fixture.store({ table: config.table, ...over });
const tableOf = ({ config }: PostgresStore) =>
  fixture.sql`${fixture.sql(config.schema)}.${fixture.sql(config.table)}`;

/** The pii column as it lies there. */
async function raw(store: PostgresStore): Promise<unknown[]> {
  const rows = await fixture.sql`select pii from ${tableOf(store)} order by id`;
  return rows.map((row) => row.pii);
}

async function read(store: PostgresStore): Promise<unknown[]> {
  const seen: unknown[] = [];
  await store.query<Schemas>((event) => seen.push(event.pii));
  return seen;
}

/** As act-crypto writes it. */
function envelope(json: string, of: Uint8Array): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", of, iv);
  const body = Buffer.concat([cipher.update(json, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(1), iv, cipher.getAuthTag(), body]).toString("base64");
}

test("the column holds base64(0x01, iv of 12, tag of 16, ciphertext) of the JSON under the key", async () => {
  const store = await encrypted();
  await store.commit("s", [{ name: "A", data: {}, pii }], meta);
  const [stored] = await raw(store);
  if (typeof stored !== "string") throw new Error("not a jsonb string");
  const bytes = Buffer.from(stored, "base64");
  expect(bytes.toString("base64")).toBe(stored);
  expect(bytes[0]).toBe(1);
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(1, 13));
  decipher.setAuthTag(bytes.subarray(13, 29));
  const json = Buffer.concat([decipher.update(bytes.subarray(29)), decipher.final()]).toString("utf8");
  expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(pii)));
});

test("an envelope that another implementation wrote is opened", async () => {
  const store = await encrypted();
  await store.commit("s", [{ name: "A", data: {}, pii: {} }], meta);
  const foreign = { email: SECRET, text: "漢😀" };
  await fixture.sql`update ${tableOf(store)} set pii = to_jsonb(${envelope(JSON.stringify(foreign), key)}::text)`;
  expect(await read(store)).toEqual([foreign]);
});

test("each value has an envelope of its own, even where the values are the same", async () => {
  const store = await encrypted();
  await store.commit(
    "s",
    [1, 2, 3].map(() => ({ name: "A", data: {}, pii })),
    meta,
  );
  expect(new Set(await raw(store)).size).toBe(3);
  const ivs = (await raw(store)).map((text) => String(text).slice(0, 17));
  expect(new Set(ivs).size).toBe(3);
});

test("no table holds a word of it, after commit, restore and truncate, keys and paths of Dates included", async () => {
  const store = await encrypted();
  await store.commit("s", [{ name: "A", data: { at: new Date(2) }, pii }], meta);
  expect(await contents(fixture, store)).not.toMatch(/s3cret|email|born/);
  await store.restore(async (insert) => {
    await insert({ id: 1, stream: "r", version: 0, created: new Date(), name: "A", data: {}, pii, meta });
  });
  expect(await raw(store)).toEqual([expect.any(String)]);
  expect(await contents(fixture, store)).not.toMatch(/s3cret|email|born/);
  expect(await read(store)).toEqual([pii]);
  expect(await store.forget_pii("r")).toBe(1);
  expect(await contents(fixture, store)).not.toMatch(/"pii"|\bAQ[A-Za-z0-9+/]{20}/);
});

test("commit answers in cleartext, and null stays null", async () => {
  const store = await encrypted();
  const messages = [pii, null, undefined, {}].map((one) => ({ name: "A", data: {}, pii: one }));
  const answered = await store.commit<Schemas>("s", messages, meta);
  expect(answered.map((event) => event.pii)).toEqual([pii, undefined, undefined, {}]);
  expect((await raw(store)).map((one) => typeof one)).toEqual(["string", "object", "object", "string"]);
  expect(await read(store)).toEqual([pii, undefined, undefined, {}]);
});

test("rows in plain text stay readable beside encrypted ones, whatever text they hold", async () => {
  const plain = await fixture.seeded();
  const looks = { text: envelope("{}", key), AQ: "AQAB" };
  await plain.commit("s", [{ name: "A", data: {}, pii: looks }], meta);
  const store = sameTable(plain, { pii_encryption: { key } });
  await store.commit("s", [{ name: "B", data: {}, pii }], meta);
  expect(await read(store)).toEqual([looks, pii]);
});

/** What is told about a value that cannot be opened: where it is, and nothing of it. */
async function cannotBeRead(store: PostgresStore, id: number): Promise<void> {
  const seen: number[] = [];
  const { error } = await failureOf(store.query((event) => seen.push(event.id)));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({ operation: "query" });
  const told = inspect(error, { depth: 10, showHidden: true });
  expect(told).toMatch(/stream "secretive"/);
  expect(told).toMatch(new RegExp(`event ${id}\\b`));
  for (const stored of await raw(store))
    if (typeof stored === "string" && stored.length > 20) expect(told).not.toContain(stored.slice(20));
  expect(told).not.toContain(SECRET);
  // Events before it have been delivered, it and those after it have not.
  expect(seen).toEqual(Array.from({ length: id - 1 }, (_, n) => n + 1));
}

async function secretive(): Promise<PostgresStore> {
  const store = await encrypted();
  await store.commit("open", [{ name: "A", data: {} }], meta);
  await store.commit("secretive", [{ name: "B", data: {}, pii }], meta);
  return store;
}

test("a wrong key is an error that names the stream and the event", async () => {
  const store = await secretive();
  await cannotBeRead(sameTable(store, { pii_encryption: { key: randomBytes(32) } }), 2);
});

test("no key at all is an error that names the stream, the event and the option", async () => {
  const store = sameTable(await secretive());
  await cannotBeRead(store, 2);
  const { error } = await failureOf(store.query(() => {}));
  expect(inspect(error)).toContain("pii_encryption");
});

const tampered: [string, (bytes: Buffer) => Buffer][] = [
  ["the version", (bytes) => bytes.fill(2, 0, 1)],
  ["the iv", (bytes) => bytes.fill((bytes[5] ?? 0) ^ 1, 5, 6)],
  ["the tag", (bytes) => bytes.fill((bytes[20] ?? 0) ^ 128, 20, 21)],
  ["the first byte", (bytes) => bytes.fill((bytes[29] ?? 0) ^ 1, 29, 30)],
  ["the last byte", (bytes) => bytes.fill((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1)],
  ["its length", (bytes) => bytes.subarray(0, -1)],
  ["all behind the tag", (bytes) => bytes.subarray(0, 29)],
  ["all behind the iv", (bytes) => bytes.subarray(0, 13)],
  ["something added", (bytes) => Buffer.concat([bytes, Buffer.of(0)])],
];

test.each(tampered)(
  "a value that was changed (%s) is an error that names the stream and the event",
  async (_, change) => {
    const store = await secretive();
    const [, stored] = await raw(store);
    const changed = change(Buffer.from(String(stored), "base64")).toString("base64");
    await fixture.sql`update ${tableOf(store)} set pii = to_jsonb(${changed}::text) where id = 2`;
    await cannotBeRead(store, 2);
  },
);

test("paths of Dates that were changed do not fail the reading of the rest", async () => {
  const store = await encrypted();
  await store.commit("s", [{ name: "A", data: { n: 1 }, pii: { email: SECRET } }], meta);
  await fixture.sql`update ${tableOf(store)} set dates = '{"data": [["n", "x"], ["absent"], [0]], "pii": [["y"]]}'`;
  expect(await read(store)).toEqual([{ email: SECRET }]);
});

test("heads, tails and names are told without a key, for they never carry pii", async () => {
  const store = await secretive();
  const keyless = sameTable(store);
  const stats = await keyless.query_stats(["secretive"], { tail: true, count: true, names: true });
  expect(stats.get("secretive")).toMatchObject({ count: 1, names: { B: 1 } });
  expect(inspect(stats, { depth: 10 })).not.toContain("pii");
});

test("a truncate that cannot open what it keeps deletes nothing", async () => {
  const store = await encrypted();
  await store.commit(
    "s",
    [
      { name: "A", data: {} },
      { name: "__snapshot__", data: {}, pii },
    ],
    meta,
  );
  const before = await contents(fixture, store);
  const wrong = sameTable(store, { pii_encryption: { key: randomBytes(32) } });
  const outcome = await wrong.truncate([{ stream: "s", before: new Date(Date.now() + 60_000) }]).then(
    (result) => result.size,
    (error: unknown) => error,
  );
  // To answer without the pii would be as good: what is not right is to delete and fail.
  if (outcome instanceof Error) expect(await contents(fixture, store)).toBe(before);
  else expect(outcome).toBe(1);
});

test("a key may be any 32 bytes of a larger buffer", async () => {
  const pool = randomBytes(100);
  const store = await fixture.seeded({ pii_encryption: { key: pool.subarray(10, 42) } });
  await store.commit("s", [{ name: "A", data: {}, pii }], meta);
  expect(await read(store)).toEqual([pii]);
});

test("the form of act-pg is taken, and its function is asked once for 20 calls", async () => {
  let asked = 0;
  const keyProvider = async () => {
    asked++;
    return key;
  };
  const store = await fixture.seeded({ pii_encryption: { keyProvider, algorithm: "aes-256-gcm" } });
  const commits = Array.from({ length: 10 }, (_, n) =>
    store.commit(`s-${n}`, [{ name: "A", data: {}, pii: { n } }], meta),
  );
  await Promise.all(commits);
  for (let n = 0; n < 10; n++) expect((await read(store)).length).toBe(10);
  expect(asked).toBe(1);
  expect(await read(sameTable(store, { pii_encryption: { key } }))).toHaveLength(10);
});

test("a provider that gives no key fails the call in time, and is asked again", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const answers = [new Promise<never>(() => {}), Promise.resolve(key)];
  const piiKeys = new PiiKeys({ key: () => answers.shift() });
  const late = failureOf(piiKeys.current("s"));
  await vi.advanceTimersByTimeAsync(30_000);
  expect((await late).error).toMatchObject({
    name: "PiiError",
    message: expect.stringContaining("gave no key within 30000 ms"),
  });
  expect(await piiKeys.current("s")).toBe(key);
});

test("a provider that failed is asked again", async () => {
  let asked = 0;
  const store = await encrypted({
    pii_encryption: {
      key: () => {
        if (asked++ === 0) throw new Error("the vault is closed");
        return key;
      },
    },
  });
  await failureOf(store.commit("s", [{ name: "A", data: {}, pii }], meta));
  await store.commit("s", [{ name: "A", data: {}, pii }], meta);
  expect(await read(store)).toEqual([pii]);
});

test("a commit without pii needs no key", async () => {
  const store = await encrypted({
    pii_encryption: { key: () => Promise.reject(new Error("the vault is closed")) },
  });
  await store.commit("s", [{ name: "A", data: {} }], meta);
  expect(await read(store)).toEqual([undefined]);
});

test("keys are rotated: first every process knows the new one, then it encrypts", async () => {
  const [old, next] = [randomBytes(32), randomBytes(32)];
  const store = await encrypted({ pii_encryption: { key: old } });
  await store.commit("s", [{ name: "A", data: {}, pii: { n: 1 } }], meta);
  const knows = sameTable(store, { pii_encryption: { key: [old, next] } });
  const uses = sameTable(store, { pii_encryption: { key: () => [next, old] } });
  await uses.commit("s", [{ name: "A", data: {}, pii: { n: 2 } }], meta);
  await knows.commit("s", [{ name: "A", data: {}, pii: { n: 3 } }], meta);
  for (const reader of [knows, uses]) expect(await read(reader)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  const only = sameTable(store, { pii_encryption: { key: next } });
  expect((await failureOf(read(only))).error).toBeInstanceOf(StoreError);
});

test("a provider is asked again for a value that its key does not open, but not for each such value", async () => {
  const [old, next] = [randomBytes(32), randomBytes(32)];
  let [asked, keys] = [0, [old]];
  const provider = () => {
    asked++;
    return keys;
  };
  const store = await encrypted({ pii_encryption: { key: provider } });
  await store.commit("s", [{ name: "A", data: {}, pii: { n: 1 } }], meta);
  await sameTable(store, { pii_encryption: { key: next } }).commit(
    "s",
    [{ name: "A", data: {}, pii: { n: 2 } }],
    meta,
  );
  const later = performance.now() + 60_000;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => later);
  onTestFinished(() => clock.mockRestore());
  keys = [next, old];
  expect(await read(store)).toEqual([{ n: 1 }, { n: 2 }]);
  expect(asked).toBe(2);
  keys = [old];
  await sameTable(store, { pii_encryption: { key } }).commit(
    "s",
    [{ name: "A", data: {}, pii: { n: 3 } }],
    meta,
  );
  for (let n = 0; n < 3; n++) await failureOf(read(store));
  expect(asked).toBe(2);
});

describe("a key for each stream", () => {
  const keys = new Map<string, Uint8Array>();
  const asked: string[] = [];
  const options = {
    pii_encryption: {
      keyProvider: async (stream: string) => {
        asked.push(stream);
        return keys.get(stream);
      },
      perStream: true,
    },
  };
  const person = (stream: string) => [{ name: "A", data: { stream }, pii: { stream, at: new Date(1) } }];

  test("is asked for once, and seals that stream only", async () => {
    for (const stream of ["ann", "bob"]) keys.set(stream, randomBytes(32));
    const store = await encrypted(options);
    for (const stream of ["ann", "bob", "ann"]) await store.commit(stream, person(stream), meta);
    expect(await read(store)).toEqual(["ann", "bob", "ann"].map((stream) => ({ stream, at: new Date(1) })));
    expect([...asked].sort()).toEqual(["ann", "bob"]);
    const ann = sameTable(store, { pii_encryption: { key: keys.get("ann") } });
    const seen: unknown[] = [];
    await ann.query<Schemas>((event) => seen.push(event.pii), { stream: "ann", stream_exact: true });
    expect(seen).toHaveLength(2);
    expect((await failureOf(read(ann))).error).toBeInstanceOf(StoreError);
  });

  test("that is gone takes the stream's pii with it, in every copy; new pii is refused", async () => {
    for (const stream of ["ann", "bob"]) keys.set(stream, randomBytes(32));
    const store = await encrypted(options);
    for (const stream of ["ann", "bob"]) await store.commit(stream, person(stream), meta);
    keys.delete("ann");
    const other = sameTable(store, options);
    expect(await read(other)).toEqual([undefined, { stream: "bob", at: new Date(1) }]);
    const { error } = await failureOf(other.commit("ann", person("ann"), meta));
    expect(inspect(error)).toContain('there is no key for stream "ann" any more');
    await other.commit("ann", [{ name: "B", data: {} }], meta);
  });

  test("is used by a restore, whose events keep their order", async () => {
    for (const stream of ["ann", "bob"]) keys.set(stream, randomBytes(32));
    const store = await encrypted(options);
    await store.restore(async (insert) => {
      const ids = ["ann", "bob", "ann"].map((stream, n) =>
        insert({
          ...{ id: 9, stream, version: Math.floor(n / 2), created: new Date(5), meta },
          ...{ name: "A", data: {}, ...(n === 1 ? {} : { pii: { n } }) },
        }),
      );
      // The driver may leave the last ones to the restore.
      expect(await ids[0]).toBe(1);
    });
    expect(await read(store)).toEqual([{ n: 0 }, undefined, { n: 2 }]);
  });
});

test("with `omit` a value that cannot be decrypted ends no query: it is left out, and said once", async () => {
  const store = await secretive();
  await store.commit("open", [{ name: "C", data: {} }], meta);
  const lines: string[] = [];
  const spy = vi
    .spyOn(log(), "warn")
    .mockImplementation((...args: unknown[]) => void lines.push(args.join(" ")));
  onTestFinished(() => spy.mockRestore());
  const lenient = sameTable(store, { pii_encryption: { key: randomBytes(32), unreadable: "omit" } });
  for (let n = 0; n < 2; n++) expect(await read(lenient)).toEqual([undefined, undefined, undefined]);
  expect(lines).toEqual([
    expect.stringMatching(/the pii of stream "secretive", event 2 cannot be decrypted/),
  ]);
  expect(lines[0]).not.toContain(SECRET);
});

test("a provider that gives something else than 32 bytes fails the verb, and nothing is written", async () => {
  for (const given of [randomBytes(31), "k".repeat(32), undefined, null]) {
    const store = await fixture.seeded({ pii_encryption: { key: () => given as never } });
    const { error } = await failureOf(store.commit("s", [{ name: "A", data: {}, pii }], meta));
    expect(error).toBeInstanceOf(StoreError);
    expect(inspect(error)).toContain("32 bytes");
    expect(await fixture.rows(store)).toEqual([]);
  }
});
