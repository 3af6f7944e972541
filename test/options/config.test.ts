/** `new PostgresStore({ ...store.config })`: a store like another one, whose secrets were never shown. */
import { inspect } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { withHiddenPassword } from "../../src/options/config.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const SECRET = "hunter2";

/** What comes of the spread config of a store with these options. */
function again(options: PostgresStoreOptions, beside: PostgresStoreOptions = {}) {
  const config = withHiddenPassword(resolveOptions(options, {}));
  return resolveOptions({ ...config, ...beside }, { PGHOST: "env" });
}

test("the store connects, and reads what the other one wrote", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event()], meta);
  const second = new PostgresStore({ ...store.config });
  onTestFinished(() => second.dispose());
  expect(second.config).toEqual(store.config);
  expect(await second.query(() => {})).toBe(1);
});

test("hosts, secrets, TLS and listen_url are the same; the environment has no say", () => {
  const options = {
    url: `postgres://u:${SECRET}@a:1,b:2/d?options=-c%20geqo%3Doff`,
    ssl: { ca: SECRET, servername: "x" },
    pii_encryption: { key: new Uint8Array(32).fill(7) },
    listen_url: `postgres://l:${SECRET}@direct/d`,
    onConnect: () => {},
  };
  const { hidden: _, ...first } = resolveOptions(options, {});
  expect(again(options)).toMatchObject(first);
});

test("a password that is a function stays one", () => {
  const password = () => SECRET;
  expect(again({ password }).secrets.password).toBe(password);
});

test("what is given beside the config counts first", () => {
  const options = { url: `postgres://u:${SECRET}@a:1,b:2/d`, ssl: { ca: SECRET } };
  expect(again(options, { host: "c", password: "p", ssl: false, table: "t" })).toMatchObject({
    config: { hosts: [{ host: "c", port: 1 }], ssl: false, table: "t" },
    secrets: { password: "p", tls: undefined },
  });
});

test("the spread shows no secret either", () => {
  const { config } = new PostgresStore({ password: SECRET, ssl: { key: SECRET, passphrase: SECRET } });
  const spread = { ...config };
  for (const depth of [2, 10])
    expect(inspect(spread, { depth, showHidden: true, getters: true })).not.toContain(SECRET);
  expect(inspect(spread, { customInspect: false, showHidden: true, depth: 10 })).not.toContain(SECRET);
  expect(JSON.stringify(spread)).not.toContain(SECRET);
  expect(inspect(config)).not.toContain("hidden");
});

test("hosts and encrypted are options of nobody else", () => {
  expect(() => resolveOptions({ hosts: [] }, {})).toThrow('"hosts"');
});
