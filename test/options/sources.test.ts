/** Where an option comes from: what is given, then the URL, then the environment, then the defaults. */
import { describe, expect, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { withHiddenPassword } from "../../src/options/config.ts";
import { resolveOptions } from "../../src/options/resolve.ts";

const config = (options: PostgresStoreOptions = {}, env: Record<string, string> = {}) =>
  withHiddenPassword(resolveOptions(options, env));

const defaults = {
  host: "localhost",
  port: 5432,
  hosts: [{ host: "localhost", port: 5432 }],
  database: "postgres",
  user: "postgres",
  password: "postgres",
  schema: "public",
  table: "events",
  notify: false,
  max: 20,
  min: 0,
  maxUses: 0,
  connectionTimeoutMillis: 10_000,
  idleTimeoutMillis: 30_000,
  keepAlive: true,
  keepAliveInitialDelayMillis: 60_000,
  statement_timeout: 60_000,
  query_timeout: 0,
  lock_timeout: 0,
  idle_in_transaction_session_timeout: 60_000,
  options: "",
  ssl: false,
  sslrootcert: "",
  sslcert: "",
  sslkey: "",
  prepare: true,
  application_name: "act-drizzle",
  target_session_attrs: "any",
  dates: "exact",
  encrypted: false,
};

describe("defaults", () => {
  test.each(Object.entries(defaults))("%s is %j", (option, value) => {
    expect(Reflect.get(config(), option)).toEqual(value);
  });

  test("hold for no options, for an empty object, and for options that are undefined", () => {
    const undefineds = Object.fromEntries(Object.keys(defaults).map((name) => [name, undefined]));
    const { hosts: _, encrypted: __, ...options } = undefineds;
    for (const given of [undefined, {}, options])
      expect(resolveOptions(given, {})).toEqual(resolveOptions({}, {}));
  });

  test("are what a store has that was made without a word", () => {
    expect(new PostgresStore({ host: "localhost", port: 5432 }).config).toMatchObject({
      schema: "public",
      max: 20,
    });
  });
});

/** A value of each option that is not its default. */
const given: Required<
  Omit<
    PostgresStoreOptions,
    | "url"
    | "connectionString"
    | "listen_url"
    | "replicas"
    | "pii_encryption"
    | "inline"
    | "onConnect"
    | "sslrootcert"
    | "sslcert"
    | "sslkey"
  >
> = {
  host: "given",
  port: 1,
  database: "given_db",
  user: "given_user",
  password: "given_password",
  schema: "given_schema",
  table: "given_table",
  notify: true,
  pollIntervalMillis: 10,
  slowStatementMillis: 250,
  replicaLagMillis: 15,
  max: 3,
  min: 2,
  maxUses: 100,
  connectionTimeoutMillis: 4,
  idleTimeoutMillis: 5,
  keepAlive: false,
  keepAliveInitialDelayMillis: 11,
  statement_timeout: 6,
  query_timeout: 12,
  lock_timeout: 13,
  idle_in_transaction_session_timeout: 14,
  options: "-c geqo=off",
  ssl: "verify-full",
  prepare: false,
  application_name: "given_name",
  target_session_attrs: "primary",
  dates: "revive",
};

const url =
  "postgres://url_user:url_password@url.example:2/url_db?sslmode=require&application_name=url_name" +
  "&target_session_attrs=standby&connect_timeout=7&statement_timeout=8&lock_timeout=9&query_timeout=10" +
  "&idle_in_transaction_session_timeout=11&options=-c%20geqo%3Don&schema=url_schema&connection_limit=12" +
  "&idle_timeout=13&keepalives=0&keepalives_idle=14&pgbouncer=true";
const fromUrl = {
  host: "url.example",
  port: 2,
  database: "url_db",
  user: "url_user",
  password: "url_password",
  ssl: "require",
  application_name: "url_name",
  target_session_attrs: "standby",
  connectionTimeoutMillis: 7_000,
  statement_timeout: 8,
  lock_timeout: 9,
  query_timeout: 10,
  idle_in_transaction_session_timeout: 11,
  options: "-c geqo=on",
  schema: "url_schema",
  max: 12,
  idleTimeoutMillis: 13_000,
  keepAlive: false,
  keepAliveInitialDelayMillis: 14_000,
  prepare: false,
};

const env = {
  PGHOST: "env.example",
  PGPORT: "3",
  PGDATABASE: "env_db",
  PGUSER: "env_user",
  PGPASSWORD: "env_password",
  PGAPPNAME: "env_name",
  PGSSLMODE: "prefer",
  PGTARGETSESSIONATTRS: "read-write",
  PGCONNECT_TIMEOUT: "9",
  PGOPTIONS: "--jit=off",
};
const fromEnv = {
  host: "env.example",
  port: 3,
  database: "env_db",
  user: "env_user",
  password: "env_password",
  application_name: "env_name",
  ssl: "prefer",
  target_session_attrs: "read-write",
  connectionTimeoutMillis: 9_000,
  options: "--jit=off",
};

describe("precedence", () => {
  test.each(Object.entries(given))("%s as given wins over URL and environment", (option, value) => {
    expect(Reflect.get(config({ ...given, url }, env), option)).toEqual(value);
    expect(Reflect.get(config({ [option]: value, url }, env), option)).toEqual(value);
  });

  test.each(Object.entries(fromUrl))("%s of the URL wins over the environment", (option, value) => {
    expect(Reflect.get(config({ url }, env), option)).toEqual(value);
  });

  test.each(Object.entries(fromEnv))("%s of the environment wins over the default", (option, value) => {
    expect(Reflect.get(config({}, env), option)).toEqual(value);
  });

  test("what the URL leaves out comes from the environment, part by part", () => {
    expect(config({ url: "postgres://url.example/url_db" }, env)).toMatchObject({
      ...fromEnv,
      host: "url.example",
      database: "url_db",
    });
    expect(config({ url: "postgres://" }, env)).toMatchObject(fromEnv);
    expect(config({ url: "postgres://" })).toEqual(config());
  });

  test("an option that is undefined does not hide the URL or the environment", () => {
    const none = Object.fromEntries(Object.keys(given).map((name) => [name, undefined]));
    expect(config({ ...none, url }, env)).toMatchObject(fromUrl);
    expect(config(none, env)).toMatchObject(fromEnv);
  });

  test("an empty variable of the environment is as good as none", () => {
    const empty = Object.fromEntries(Object.keys(env).map((name) => [name, ""]));
    expect(config({}, empty)).toEqual(config());
  });

  test("a variable of the environment that an option overrides is not looked at", () => {
    expect(config({ port: 5433, ssl: false }, { PGPORT: "nonsense", PGSSLMODE: "nonsense" })).toMatchObject({
      port: 5433,
      ssl: false,
    });
  });

  test("connectionString is url by another name", () => {
    expect(config({ connectionString: url })).toEqual(config({ url }));
  });

  test("the environment of the process is what counts when none is given", () => {
    const before = process.env.PGAPPNAME;
    process.env.PGAPPNAME = "of_the_process";
    try {
      expect(new PostgresStore().config.application_name).toBe("of_the_process");
    } finally {
      if (before === undefined) delete process.env.PGAPPNAME;
      else process.env.PGAPPNAME = before;
    }
  });
});

describe("URLs", () => {
  const hosts = (given: string) => config({ url: given }).hosts;

  test.each([
    ["postgres://a/db", [{ host: "a", port: 5432 }]],
    ["postgresql://a:1/db", [{ host: "a", port: 1 }]],
    [
      "postgres://a:1,b:2/db",
      [
        { host: "a", port: 1 },
        { host: "b", port: 2 },
      ],
    ],
    [
      "postgres://a,b:2,c/db",
      [
        { host: "a", port: 5432 },
        { host: "b", port: 2 },
        { host: "c", port: 5432 },
      ],
    ],
    [
      "postgres://u:p@a,b/db",
      [
        { host: "a", port: 5432 },
        { host: "b", port: 5432 },
      ],
    ],
    ["postgres://[::1]/db", [{ host: "::1", port: 5432 }]],
    ["postgres://u@[2001:db8::1]:6432/db", [{ host: "2001:db8::1", port: 6432 }]],
    [
      "postgres://[::1]:1,127.0.0.1:2,[fe80::1]/db",
      [
        { host: "::1", port: 1 },
        { host: "127.0.0.1", port: 2 },
        { host: "fe80::1", port: 5432 },
      ],
    ],
    ["postgres:///db?host=/var/run/postgresql", [{ host: "/var/run/postgresql", port: 5432 }]],
    ["postgres://%2Fvar%2Frun%2Fpostgresql:6000/db", [{ host: "/var/run/postgresql", port: 6000 }]],
    [
      "postgres:///db?host=a,b&port=1,2",
      [
        { host: "a", port: 1 },
        { host: "b", port: 2 },
      ],
    ],
  ])("%s names its hosts", (given, expected) => {
    expect(hosts(given)).toEqual(expected);
    expect(config({ url: given }).database).toBe("db");
  });

  test.each(["p@ss/w:rd#%?", "100%", "a b+c&d=e", "ümläut漢😀", "@@::,,//", "\\'\"`$", " "])(
    "the password %j is what its percent-encoding says, and so are user and database",
    (text) => {
      const encoded = encodeURIComponent(text);
      const parsed = config({ url: `postgres://${encoded}:${encoded}@a:1,b:2/${encoded}?sslmode=require` });
      expect(parsed).toMatchObject({ user: text, password: text, database: text, ssl: "require" });
      expect(parsed.hosts).toEqual([
        { host: "a", port: 1 },
        { host: "b", port: 2 },
      ]);
    },
  );

  test("a password with an @ that was not encoded ends at the last one", () => {
    expect(config({ url: "postgres://u:p@ss@word@a:1/db" })).toMatchObject({
      password: "p@ss@word",
      host: "a",
    });
  });

  test("user, password and database may stand behind the question mark, as libpq takes them", () => {
    const behind = "postgres://a?user=u&password=p%40&dbname=d&port=1";
    expect(config({ url: behind })).toMatchObject({
      host: "a",
      port: 1,
      user: "u",
      password: "p@",
      database: "d",
    });
  });

  test("what stands behind the question mark wins over what stands before it, as in libpq", () => {
    const both = "postgres://u:p@localhost:1/d?host=/cloudsql/p:r:i&user=u2&password=p2&dbname=d2";
    expect(config({ url: both })).toMatchObject({
      hosts: [{ host: "/cloudsql/p:r:i", port: 1 }],
      user: "u2",
      password: "p2",
      database: "d2",
    });
  });
});

describe("hosts and ports as options", () => {
  test.each([
    [
      { host: "a,b", port: "1,2" },
      [
        { host: "a", port: 1 },
        { host: "b", port: 2 },
      ],
    ],
    [
      { host: "a,b", port: 7 },
      [
        { host: "a", port: 7 },
        { host: "b", port: 7 },
      ],
    ],
    [
      { host: "a, b" },
      [
        { host: "a", port: 5432 },
        { host: "b", port: 5432 },
      ],
    ],
    [{ host: "::1", port: 7 }, [{ host: "::1", port: 7 }]],
    [{ host: "/tmp" }, [{ host: "/tmp", port: 5432 }]],
    [{ port: "7" }, [{ host: "localhost", port: 7 }]],
  ])("%j", (options, expected) => {
    const { host, port, hosts } = config(options);
    expect(hosts).toEqual(expected);
    expect({ host, port }).toEqual(expected[0]);
  });
});

describe("listen_url", () => {
  test("is where the listener goes, with everything else as given", () => {
    const { listen } = resolveOptions({ ...given, listen_url: "postgres://direct.example:9/other" }, {});
    expect(listen?.config).toMatchObject({
      host: "direct.example",
      port: 9,
      schema: "given_schema",
      application_name: "given_name",
    });
  });

  test("brings its own user, password and database, though others are given", () => {
    const { listen } = resolveOptions({ ...given, listen_url: "postgres://du:dp@direct.example:9/dd" }, {});
    expect(listen?.config).toMatchObject({ user: "du", database: "dd" });
    expect(listen?.secrets.password).toBe("dp");
  });

  test("keeps the login and the TLS of the URL that it stands beside, where it has none of its own", () => {
    const { listen } = resolveOptions(
      { url, listen_url: "postgres://direct.example:9/dd?application_name=listener" },
      {},
    );
    expect(listen?.config).toMatchObject({
      hosts: [{ host: "direct.example", port: 9 }],
      user: "url_user",
      database: "dd",
      ssl: "require",
      application_name: "listener",
    });
    expect(listen?.secrets.password).toBe("url_password");
  });

  test("without a port goes to 5432, whatever port the store goes to", () => {
    const { listen } = resolveOptions({ url, listen_url: "postgres://direct.example" }, {});
    expect(listen?.config.hosts).toEqual([{ host: "direct.example", port: 5432 }]);
  });

  test("left out is where the store goes", () => {
    expect(resolveOptions(given, {}).listen).toBeUndefined();
  });
});

test("the config cannot be made another by changing the options afterwards", () => {
  const options = { host: "a", pii_encryption: { key: new Uint8Array(32) } };
  const before = config(options);
  options.host = "b";
  expect(before.host).toBe("a");
});
