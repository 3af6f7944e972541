/** Passwords and keys: used, and never shown. */
import { format, inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { failureOf } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";

const SECRET = "hunter2";
const url = `postgres://clerk:${SECRET}@db.example:6432/shop`;
const key = new TextEncoder().encode(SECRET.padEnd(32, "!"));

const secretive: Record<string, PostgresStoreOptions> = {
  password: { password: SECRET },
  url: { url },
  connectionString: { connectionString: url },
  listen_url: { listen_url: url, notify: true },
  replicas: { replicas: [url] },
  "password behind a question mark": { url: `postgres://db.example/shop?user=clerk&password=${SECRET}` },
  "a TLS key and its passphrase": {
    ssl: { key: `-----BEGIN KEY----- ${SECRET}`, passphrase: SECRET, pfx: SECRET },
  },
  "an encryption key": { pii_encryption: { key } },
};

/** Every way in which loggers, consoles and error trackers print a value. */
function renderings(value: object): string[] {
  const lines: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => lines.push(String(text)) > 0);
  try {
    console.log(value);
    console.dir(value, { depth: 10 });
    console.log("%o %O %j %s", value, value, value, value);
  } finally {
    write.mockRestore();
  }
  return [
    ...lines,
    inspect(value),
    inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true }),
    inspect({ nested: { value } }, { depth: 10 }),
    inspect({ ...value }, { depth: 10 }),
    format("%o %O %j %s", value, value, value, value),
    JSON.stringify(value),
    JSON.stringify({ nested: [value] }),
    JSON.stringify(Object.entries(value).filter(([name]) => name !== "tables")),
    String(value),
    Object.keys(value).join(),
    ...forIn(value),
  ];
}

/** What a loop over the properties meets, inherited ones included. */
function forIn(value: object): string[] {
  const texts: string[] = [];
  for (const name in value) texts.push(`${name}: ${inspect(Reflect.get(value, name))}`);
  return texts;
}

describe.each(Object.entries(secretive))("%s", (_, options) => {
  test("does not show in any rendering of the store", () => {
    for (const text of renderings(new PostgresStore(options))) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(String(key));
    }
  });

  test("does not show in any rendering of its config", () => {
    for (const text of renderings(new PostgresStore(options).config)) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(JSON.stringify([...key]).slice(1, 20));
    }
  });
});

test("the password of the environment does not show", () => {
  for (const text of renderings(resolveOptions({}, { PGPASSWORD: SECRET }).config))
    expect(text).not.toContain(SECRET);
});

test("the config prints what it is, with stars for the password", () => {
  const text = inspect(new PostgresStore({ url }).config);
  expect(text).toContain("db.example");
  expect(text).toMatch(/password: '\*+'/);
});

test("a store can be handed to a logger that writes JSON", () => {
  const parsed: unknown = JSON.parse(JSON.stringify(new PostgresStore({ url })));
  expect(parsed).toMatchObject({ config: { host: "db.example", port: 6432, table: "events" } });
});

test("the password is there for whoever asks for it by name", () => {
  expect(new PostgresStore({ url }).config.password).toBe(SECRET);
});

test("no error of a connection that fails shows the password", async () => {
  const store = new PostgresStore({ host: "127.0.0.1", port: await deadPort(), password: SECRET });
  const { error } = await failureOf(store.query(() => {}));
  for (const text of renderings(error as Error)) expect(text).not.toContain(SECRET);
  await store.dispose();
});
