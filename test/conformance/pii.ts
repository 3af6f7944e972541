/** Personal data: its own column, erasure, and encryption at rest. */
import { createDecipheriv } from "node:crypto";
import { inspect } from "node:util";
import { expect } from "vitest";
import { tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  at,
  forget,
  found,
  message,
  only,
  readAll,
  readStream,
  restorable,
  restore,
  type TestMessage,
} from "./kit/scenario.ts";
import { type RawAccess, section } from "./kit/section.ts";

const personal = (pii: TestMessage["pii"], name = "A"): TestMessage => ({ ...message(name, { n: 1 }), pii });

const KEY = new Uint8Array(32).map((_, n) => n + 1);
const encrypted = { pii_encryption: { key: KEY } };

/** What the database holds in the column pii. */
async function stored(raw: RawAccess): Promise<unknown[]> {
  const rows = await raw.sql<Array<{ pii: unknown }>>`select pii from ${tablesOf(raw).events} order by id`;
  return rows.map(({ pii }) => pii);
}

/** Opens act-crypto's envelope: base64 of 0x01, iv (12 bytes), tag (16 bytes), ciphertext. */
function decipher(envelope: unknown, key: Uint8Array): unknown {
  const bytes = Buffer.from(String(envelope), "base64");
  expect(bytes[0]).toBe(1);
  const opened = createDecipheriv("aes-256-gcm", key, bytes.subarray(1, 13));
  opened.setAuthTag(bytes.subarray(13, 29));
  return JSON.parse(Buffer.concat([opened.update(bytes.subarray(29)), opened.final()]).toString("utf8"));
}

/** Everything an error says, its causes included. */
/** All that the error of a read says. */
async function failureOf(reading: Promise<unknown>): Promise<string> {
  const failure = await reading.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Error);
  return inspect(failure, { depth: null });
}

export const pii = section("personal data", (line) => {
  line("P1", "pii comes back with commit and query", { needs: ["pii"] }, async ({ store }) => {
    const value = { email: "a@b.c", nested: { list: [1, "zwei", null] } };
    expect((await appendOne(store, "s", personal(value))).pii).toEqual(value);
    expect(only(await readAll(store))).toMatchObject({ data: { n: 1 }, pii: value });
  });

  line(
    "P1",
    "Dates in pii are Dates, text that looks like one is text",
    {
      needs: ["pii", "exact_dates"],
    },
    async ({ store }) => {
      const value = { born: new Date(86_400_000), text: "2020-01-01T00:00:00.000Z", list: [new Date(1)] };
      await appendOne(store, "s", personal(value));
      expect(only(await readAll(store)).pii).toEqual(value);
    },
  );

  line("P1", "null and undefined are the same: no pii", { needs: ["pii"] }, async ({ store }) => {
    await store.commit("s", [personal(null), personal(undefined), message("B")], {
      correlation: "",
      causation: {},
    });
    expect((await readAll(store)).map((event) => event.pii ?? null)).toEqual([null, null, null]);
    expect(await forget(store, "s")).toBe(0);
  });

  line("P1", "forgetting returns how many events had pii, then 0", { needs: ["pii"] }, async ({ store }) => {
    await appendOne(store, "s", personal({ email: "1" }));
    await append(store, "s", "Without");
    await appendOne(store, "s", personal({ email: "2" }));
    await appendOne(store, "s", personal({}));
    expect(await forget(store, "s")).toBe(3);
    expect(await forget(store, "s")).toBe(0);
    expect((await readStream(store, "s")).map((event) => event.pii ?? null)).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  line("P1", "forgetting leaves everything else of the events", { needs: ["pii"] }, async ({ store }) => {
    const { pii: _, ...event } = await appendOne(store, "s", personal({ email: "1" }));
    await forget(store, "s");
    expect(only(await readAll(store))).toMatchObject(event);
  });

  line(
    "P1",
    "forgetting touches that stream only, by its exact name",
    { needs: ["pii"] },
    async ({ store }) => {
      for (const stream of ["a_b", "axb", "a_b2", "A_B"])
        await appendOne(store, stream, personal({ email: stream }));
      expect(await forget(store, "a_b")).toBe(1);
      expect((await readAll(store)).map((event) => event.pii ?? null)).toEqual([
        null,
        { email: "axb" },
        { email: "a_b2" },
        { email: "A_B" },
      ]);
      expect(await forget(store, "unknown")).toBe(0);
    },
  );

  line("P1", "events committed after forgetting have their pii", { needs: ["pii"] }, async ({ store }) => {
    await appendOne(store, "s", personal({ email: "1" }));
    await forget(store, "s");
    await appendOne(store, "s", personal({ email: "2" }));
    expect((await readAll(store)).map((event) => event.pii ?? null)).toEqual([null, { email: "2" }]);
  });

  line(
    "P1",
    "later changes to what was committed do not reach the store",
    { needs: ["pii"] },
    async ({ store }) => {
      const value = { email: "before" };
      await appendOne(store, "s", personal(value));
      value.email = "after";
      expect(only(await readAll(store)).pii).toEqual({ email: "before" });
    },
  );

  line(
    "P1",
    "pii stands in its own column, not in data",
    { needs: ["pii", "sql"] },
    async ({ store, raw }) => {
      await appendOne(store, "s", personal({ email: "a@b.c" }));
      await append(store, "s", "Without");
      const rows = await raw.sql`select data, pii from ${tablesOf(raw).events} order by id`;
      expect([...rows]).toEqual([
        { data: { n: 1 }, pii: { email: "a@b.c" } },
        { data: {}, pii: null },
      ]);
    },
  );

  line(
    "P1",
    "forgetting leaves nothing of the value in the row",
    { needs: ["pii", "sql"] },
    async ({ store, raw }) => {
      await appendOne(store, "s", personal({ email: "secret@b.c", born: new Date(5) }));
      await forget(store, "s");
      const [row] = await raw.sql`select to_jsonb(t)::text as row from ${tablesOf(raw).events} t`;
      expect(row?.row).not.toContain("secret");
      expect(row?.row).not.toContain("email");
      expect(row?.row).not.toContain("born");
    },
  );

  const needs = ["pii", "encryption", "sql"] as const;

  line(
    "P2",
    "pii is stored in act-crypto's envelope, and read in cleartext",
    {
      needs,
      options: encrypted,
    },
    async ({ store, raw }) => {
      const value = { email: "a@b.c", list: [1, { deep: "ünï" }] };
      expect((await appendOne(store, "s", personal(value))).pii).toEqual(value);
      const envelope = only(await stored(raw));
      expect(envelope).toBeTypeOf("string");
      expect(decipher(envelope, KEY)).toEqual(value);
      expect(only(await readAll(store)).pii).toEqual(value);
    },
  );

  line(
    "P2",
    "equal values have different envelopes",
    { needs, options: encrypted },
    async ({ store, raw }) => {
      await appendOne(store, "s", personal({ email: "a@b.c" }));
      await appendOne(store, "s", personal({ email: "a@b.c" }));
      const [first, next] = await stored(raw);
      expect(first).not.toEqual(next);
    },
  );

  line("P2", "Dates survive encryption", { needs, options: encrypted }, async ({ store }) => {
    const value = { born: new Date(5), text: "2020-01-01T00:00:00.000Z" };
    await appendOne(store, "s", personal(value));
    expect(only(await readAll(store)).pii).toEqual(value);
  });

  line("P2", "an event without pii stays without", { needs, options: encrypted }, async ({ store, raw }) => {
    await append(store, "s", "A");
    expect(await stored(raw)).toEqual([null]);
    expect(only(await readAll(store)).pii ?? null).toBeNull();
  });

  line("P2", "rows written in plaintext stay readable", { needs }, async ({ store, second }) => {
    await appendOne(store, "s", personal({ email: "plain" }));
    const later = await second(encrypted);
    await appendOne(later, "s", personal({ email: "encrypted" }));
    expect((await readAll(later)).map((event) => event.pii)).toEqual([
      { email: "plain" },
      { email: "encrypted" },
    ]);
  });

  line("P2", "data and meta are not encrypted", { needs, options: encrypted }, async ({ store, raw }) => {
    await appendOne(store, "s", personal({ email: "a@b.c" }));
    const [row] = await raw.sql`select data, meta from ${tablesOf(raw).events}`;
    expect(row).toEqual({ data: { n: 1 }, meta: { correlation: "test", causation: {} } });
  });

  line("P2", "the key may come from a function, at once or later", { needs }, async ({ second }) => {
    const now = await second({ pii_encryption: { key: () => KEY } });
    const later = await second({ pii_encryption: { key: async () => KEY } });
    await appendOne(now, "s", personal({ email: "1" }));
    await appendOne(later, "s", personal({ email: "2" }));
    expect((await readAll(now)).map((event) => event.pii)).toEqual([{ email: "1" }, { email: "2" }]);
    expect((await readAll(later)).map((event) => event.pii)).toEqual([{ email: "1" }, { email: "2" }]);
  });

  line(
    "P2",
    "a restore encrypts",
    { needs: [...needs, "restore"], options: encrypted },
    async ({ store, raw }) => {
      await restore(store, [restorable("s", 0, { pii: { email: "a@b.c" } }), restorable("s", 1)]);
      const [envelope, none] = await stored(raw);
      expect(decipher(envelope, KEY)).toEqual({ email: "a@b.c" });
      expect(none).toBeNull();
      expect(at(await readAll(store), 0).pii).toEqual({ email: "a@b.c" });
    },
  );

  line("P2", "an encrypted value can be forgotten", { needs, options: encrypted }, async ({ store, raw }) => {
    await appendOne(store, "s", personal({ email: "a@b.c" }));
    expect(await forget(store, "s")).toBe(1);
    expect(await stored(raw)).toEqual([null]);
  });

  line(
    "P2",
    "a wrong key is an error that names stream and id, not the value",
    {
      needs,
      options: encrypted,
    },
    async ({ store, second }) => {
      const { id } = await appendOne(store, "stream-7", personal({ email: "secret@b.c" }));
      const stranger = await second({ pii_encryption: { key: new Uint8Array(32) } });
      const error = await failureOf(readAll(stranger));
      expect(error).toContain("stream-7");
      expect(error).toMatch(new RegExp(`\\b${id}\\b`));
      expect(error).not.toContain("secret");
    },
  );

  line(
    "P2",
    "a tampered value is an error that names stream and id, not the value",
    {
      needs,
      options: encrypted,
    },
    async ({ store, raw }) => {
      const { id } = await appendOne(store, "stream-7", personal({ email: "secret@b.c" }));
      const bytes = Buffer.from(String(only(await stored(raw))), "base64");
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      const tampered = bytes.toString("base64");
      await raw.sql`update ${tablesOf(raw).events} set pii = to_jsonb(${tampered}::text)`;
      const error = await failureOf(readAll(store));
      expect(error).toContain("stream-7");
      expect(error).toMatch(new RegExp(`\\b${id}\\b`));
      expect(error).not.toContain(tampered);
    },
  );

  line("P2", "a key of another length than 32 bytes is refused", { needs }, async ({ raw, second }) => {
    expect(() => raw.construct({ pii_encryption: { key: new Uint8Array(16) } })).toThrow();
    const late = await second({ pii_encryption: { key: () => new Uint8Array(31) } });
    await expect(appendOne(late, "s", personal({ email: "a@b.c" }))).rejects.toThrow();
    expect(found(await stored(raw))).toEqual([]);
  });

  line("P2", "without its key nothing is written in plaintext", { needs }, async ({ second, raw }) => {
    const keyless = await second({
      pii_encryption: { key: () => Promise.reject(new Error("vault is closed")) },
    });
    await expect(appendOne(keyless, "s", personal({ email: "a@b.c" }))).rejects.toThrow();
    expect(await stored(raw)).toEqual([]);
  });
});
