/** Connection strings, as providers document them and as libpq, node-postgres, postgres.js and Prisma read them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { optionList } from "../../src/options/option-list.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { URL_PARAMETERS } from "../../src/options/url-parameters.ts";

const SECRET = "hunter2";
const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "act-drizzle-"));
  writeFileSync(join(folder, "ca.pem"), CERTIFICATE);
  writeFileSync(join(folder, "client.pem"), CERTIFICATE);
  writeFileSync(join(folder, "client.key"), PRIVATE_KEY);
  writeFileSync(join(folder, "locked.key"), PRIVATE_KEY.replaceAll("PRIVATE", "ENCRYPTED PRIVATE"));
  writeFileSync(join(folder, "empty.pem"), SECRET);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** `$DIR` in a URL is the folder of the files. */
const resolve = (url: string, options: object = {}, env = {}) =>
  resolveOptions({ url: url.replaceAll("$DIR", folder), ...options }, env);

function refusal(url: string, options: object = {}): string {
  try {
    resolve(url, options);
  } catch (error) {
    const said = error instanceof Error ? error.message : "";
    expect(said).toMatch(/^act-drizzle: /);
    expect(said).not.toContain(SECRET);
    return said;
  }
  throw new Error(`accepted: ${url}`);
}

describe("documented forms", () => {
  test.each<[provider: string, url: string, expected: object]>([
    [
      "Heroku",
      "postgres://u0:p1@ec2-54-83-137-206.compute-1.amazonaws.com:5432/d39",
      { host: "ec2-54-83-137-206.compute-1.amazonaws.com", database: "d39", user: "u0", ssl: false },
    ],
    [
      "Heroku, with its self-signed certificates",
      "postgres://u0:p1@ec2-54.compute-1.amazonaws.com:5432/d39?sslmode=no-verify",
      { ssl: "no-verify" },
    ],
    [
      "Amazon RDS",
      "postgresql://admin:p@shop.c9.eu-central-1.rds.amazonaws.com:5432/shop?sslmode=verify-full&sslrootcert=$DIR/ca.pem",
      { host: "shop.c9.eu-central-1.rds.amazonaws.com", ssl: "verify-full" },
    ],
    [
      "Amazon RDS, require and a CA",
      "postgresql://admin:p@shop.rds.amazonaws.com:5432/shop?sslmode=require&sslrootcert=$DIR/ca.pem",
      { ssl: "verify-ca" },
    ],
    [
      "Supabase, direct",
      "postgresql://postgres:[YOUR-PASSWORD]@db.abcdefgh.supabase.co:5432/postgres",
      { host: "db.abcdefgh.supabase.co", user: "postgres", prepare: true },
    ],
    [
      "Supabase, session pooler",
      "postgres://postgres.abcdefgh:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
      { host: "aws-0-eu-central-1.pooler.supabase.com", user: "postgres.abcdefgh", prepare: true },
    ],
    [
      "Supabase, transaction pooler",
      "postgresql://postgres.abcdefgh:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
      { port: 6543, prepare: false, max: 1 },
    ],
    [
      "Supabase by Vercel",
      "postgres://postgres.abc:p@aws-0-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
      { ssl: "require", prepare: true },
    ],
    [
      "Neon",
      "postgresql://alex:p@ep-cool-a1.us-east-2.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
      { host: "ep-cool-a1.us-east-2.aws.neon.tech", database: "neondb", ssl: "verify-full" },
    ],
    [
      "Neon, for clients that send no name of the server",
      "postgresql://alex:p@ep-cool-a1.neon.tech/neondb?options=endpoint%3Dep-cool-a1&sslmode=require",
      { options: "endpoint=ep-cool-a1", ssl: "require" },
    ],
    [
      "Azure, flexible server",
      "postgres://act_app:p@shop.postgres.database.azure.com:5432/postgres?sslmode=require",
      { host: "shop.postgres.database.azure.com", user: "act_app", ssl: "require" },
    ],
    [
      "Azure, user with the server's name",
      "postgresql://act%40shop:p@shop.postgres.database.azure.com/db?sslmode=verify-full&sslrootcert=system",
      { user: "act@shop", ssl: "verify-full" },
    ],
    [
      "Cloud SQL, socket",
      "postgresql://u:p@/shop?host=/cloudsql/proj:europe-west1:inst",
      { host: "/cloudsql/proj:europe-west1:inst", database: "shop" },
    ],
    [
      "Cloud SQL, socket beside a host",
      "postgresql://u:p@localhost/shop?host=/cloudsql/proj:europe-west1:inst&schema=public",
      { host: "/cloudsql/proj:europe-west1:inst", schema: "public" },
    ],
    [
      "Cloud SQL, socket as the host",
      "postgresql://u:p@%2Fcloudsql%2Fproj%3Aeurope-west1%3Ainst/shop",
      { host: "/cloudsql/proj:europe-west1:inst", database: "shop" },
    ],
    [
      "Cloud SQL, certificates",
      "postgresql://u:p@10.0.0.5/shop?sslmode=verify-ca&sslrootcert=$DIR/ca.pem&sslcert=$DIR/client.pem&sslkey=$DIR/client.key",
      { ssl: "verify-ca" },
    ],
    [
      "Railway",
      "postgresql://postgres:p@postgres.railway.internal:5432/railway",
      { host: "postgres.railway.internal", database: "railway" },
    ],
    ["Railway, proxy", "postgresql://postgres:p@roundhouse.proxy.rlwy.net:31234/railway", { port: 31234 }],
    ["Render, inside", "postgresql://u:p@dpg-abc-a/shop_x1", { host: "dpg-abc-a", port: 5432 }],
    [
      "Render, outside",
      "postgresql://u:p@dpg-abc-a.oregon-postgres.render.com/shop_x1?ssl=true",
      { ssl: true },
    ],
    [
      "Fly",
      "postgres://shop:p@shop-db.flycast:5432/shop?sslmode=disable",
      { host: "shop-db.flycast", ssl: "disable" },
    ],
    ["Fly, inside", "postgres://postgres:p@top2.nearest.of.shop-db.internal:5432", { database: "postgres" }],
    [
      "DigitalOcean",
      "postgresql://doadmin:p@db-1.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
      { port: 25060, ssl: "require" },
    ],
    [
      "Aiven and others, several hosts",
      "postgres://u:p@a.example:1,b.example:2/d?target_session_attrs=read-write&sslmode=require",
      {
        target_session_attrs: "read-write",
        hosts: [
          { host: "a.example", port: 1 },
          { host: "b.example", port: 2 },
        ],
      },
    ],
    [
      "Prisma's example",
      "postgresql://janedoe:p@localhost:5432/mydb?schema=sample&connection_limit=5&pool_timeout=20&sslmode=prefer&sslaccept=strict",
      { schema: "sample", max: 5, connectionTimeoutMillis: 20_000, ssl: "verify-full" },
    ],
  ])("%s", (_, url, expected) => {
    expect(resolve(url).config).toMatchObject(expected);
  });

  test("key words and values are refused, without the password", () => {
    expect(refusal(`host=shop.postgres.database.azure.com user=u password=${SECRET}`)).toContain(
      "postgres://",
    );
  });
});

describe("TLS", () => {
  test.each<[query: string, ssl: unknown]>([
    ["ssl=true", true],
    ["ssl=1", true],
    ["ssl=false", false],
    ["ssl=0", false],
    ["ssl=require", "require"],
    ["ssl=prefer", "prefer"],
    ["ssl=verify-full", "verify-full"],
    ["ssl=no-verify", "no-verify"],
    ["sslmode=verify-ca", "verify-ca"],
    ["sslmode=no-verify", "no-verify"],
    ["ssl=true&sslmode=require", "require"],
    ["ssl=true&sslmode=no-verify", "no-verify"],
    ["ssl=false&sslmode=disable", "disable"],
    ["sslrootcert=$DIR/ca.pem", "verify-full"],
    ["sslrootcert=system", "verify-full"],
    ["sslrootcert=$DIR/ca.pem&sslmode=require", "verify-ca"],
    ["sslrootcert=$DIR/ca.pem&sslmode=no-verify", "no-verify"],
    ["sslrootcert=$DIR/missing.pem&sslmode=disable", "disable"],
    ["sslcert=$DIR/client.pem&sslkey=$DIR/client.key", "verify-full"],
    ["channel_binding=require", "verify-full"],
    ["channel_binding=require&sslmode=require&sslrootcert=$DIR/ca.pem", "verify-ca"],
    ["channel_binding=prefer&sslmode=require", "require"],
    ["ssl=true&sslmode=require", "require"],
    ["ssl=verify-ca&sslmode=verify-ca", "verify-ca"],
    ["sslaccept=accept_invalid_certs", "require"],
    ["uselibpqcompat=true&sslmode=require", "require"],
    ["sslnegotiation=postgres&gssencmode=disable&sslsni=1&sslcompression=0", false],
  ])("%s", (query, ssl) => {
    expect(resolve(`postgres://u@h/d?${query}`).config.ssl).toEqual(ssl);
  });

  test.each([
    ["ssl=requier", /"ssl" in url/],
    ["sslmode=true", /"ssl" in url/],
    ["sslmode=", /"sslmode" is empty/],
    ["ssl=false&sslmode=require", /contradict/],
    ["ssl=true&sslmode=disable", /contradict/],
    ["ssl=true&sslmode=prefer", /contradict/],
    ["ssl=1&sslmode=allow", /contradict/],
    ["ssl=verify-full&sslmode=require", /contradict/],
    ["sslmode=disable&sslmode=require", /"sslmode" occurs twice/],
    ["sslrootcert=system&sslmode=require", /"sslrootcert".*verify-full/],
    ["sslrootcert=$DIR/missing.pem", /"sslrootcert".*ENOENT/],
    ["sslrootcert=$DIR", /"sslrootcert".*EISDIR/],
    ["sslrootcert=$DIR/empty.pem", /"sslrootcert".*no certificate/],
    ["sslcert=$DIR/client.pem", /"sslcert".*sslkey/],
    ["sslkey=$DIR/client.key", /"sslkey".*sslcert/],
    ["sslcert=$DIR/client.pem&sslkey=$DIR/empty.pem", /"sslkey".*no private key/],
    ["sslcert=$DIR/client.pem&sslkey=$DIR/locked.key", /"sslkey".*passphrase/],
    ["channel_binding=require&sslmode=disable", /channel_binding/],
    ["channel_binding=require&ssl=false", /channel_binding/],
    ["channel_binding=require&sslmode=no-verify", /channel_binding/],
    ["sslnegotiation=direct", /"sslnegotiation"/],
    ["gssencmode=require", /"gssencmode"/],
    ["sslcrl=x.pem", /"sslcrl".*ssl: \{ ca, crl \}/],
    ["sslpassword=x", /"sslpassword".*passphrase/],
    ["require_auth=scram-sha-256", /"require_auth"/],
  ])("%s is refused", (query, expected) => {
    expect(refusal(`postgres://u:${SECRET}@h/d?${query}`)).toMatch(expected);
  });

  test("files are read, and are beside the config", () => {
    const query = "sslmode=verify-ca&sslrootcert=$DIR/ca.pem&sslcert=$DIR/client.pem&sslkey=$DIR/client.key";
    const { config, secrets } = resolve(`postgres://h/d?${query}`);
    expect(secrets.tls).toEqual({ ca: CERTIFICATE, cert: CERTIFICATE, key: PRIVATE_KEY });
    expect(JSON.stringify(config)).not.toContain("BEGIN");
  });

  test("sslrootcert=system is the CAs that Node trusts", () => {
    expect(resolve("postgres://h/d?sslrootcert=system").secrets.tls).toEqual({});
  });

  test("files come from options and from the environment too", () => {
    const ca = join(folder, "ca.pem");
    expect(resolveOptions({ sslrootcert: ca }, {}).config.ssl).toBe("verify-full");
    expect(resolveOptions({}, { PGSSLROOTCERT: ca, PGSSLMODE: "require" }).config.ssl).toBe("verify-ca");
    expect(resolveOptions({ sslrootcert: ca, ssl: { servername: "x" } }, {}).secrets.tls).toEqual({
      ca: CERTIFICATE,
      servername: "x",
    });
    expect(resolveOptions({ sslrootcert: ca, ssl: false }, {})).toMatchObject({
      config: { ssl: false },
      secrets: { tls: undefined },
    });
  });
});

describe("what a URL says and is not understood is an error", () => {
  test.each(["foo=1", "sslmodus=require", "SSLMODE=require", "__proto__=1", "constructor=1"])(
    "%s",
    (query) => {
      expect(refusal(`postgres://u:${SECRET}@h/d?${query}`)).toContain(`"${query.split("=")[0]}" is unknown`);
    },
  );

  test("a parameter without a value, one that stands there twice, host beside hostaddr", () => {
    expect(refusal("postgres://h/d?application_name")).toContain("empty");
    expect(refusal("postgres://h/d?host=a&host=b")).toContain("twice");
    expect(refusal("postgres://h/d?host=a&hostaddr=10.0.0.1")).toContain("hostaddr");
  });

  test("two names of one option that say different things", () => {
    expect(refusal("postgres://h/d?max=9&connection_limit=1")).toContain(
      "max and connection_limit contradict",
    );
    expect(refusal("postgres://h/d?prepare=true&pgbouncer=true")).toContain(
      "prepare and pgbouncer contradict",
    );
    expect(resolve("postgres://h/d?prepare=false&pgbouncer=true").config.prepare).toBe(false);
    expect(resolve("postgres://h/d?prepare=true&pgbouncer=false").config.prepare).toBe(true);
    expect(resolve("postgres://h/d?max=9&connection_limit=9").config.max).toBe(9);
    const both = { connectionString: `postgres://u:${SECRET}@other/d` };
    expect(refusal(`postgres://u:${SECRET}@h/d`, both)).toContain("two names of one option");
  });

  test("listen_url too, and the error says so", () => {
    expect(refusal("postgres://h/d", { listen_url: "postgres://h/d?foo=1" })).toContain('"listen_url"');
  });

  test("no parameter is both an option and something else, and each says what it does or why not", () => {
    const options = optionList.flatMap(({ url }) => Object.keys(url ?? {}));
    for (const [name, { does, takes, refused }] of Object.entries(URL_PARAMETERS)) {
      expect(options).not.toContain(name);
      expect(does ?? refused, name).toBeTruthy();
      if (takes === undefined && does === undefined)
        expect(refused, name).toMatch(/leave it out|instead|write|give/);
    }
  });
});

describe("a password that is not percent-encoded", () => {
  test.each([
    `postgres://u:a#${SECRET}@h/d`,
    `postgres://u:a/${SECRET}@h/d`,
    `postgres://u:a?${SECRET}@h/d`,
    `postgres://u:12/${SECRET}@h/d`,
    `postgres://u:12?${SECRET}@h/d`,
    `postgres://u:12?${SECRET}=x@h/d`,
    `postgres://u:p@a?${SECRET}=x@h/d`,
    `postgres://u:p@a/${SECRET}@h/d`,
    `postgres://u:100%${SECRET}@h/d`,
    `postgres://u:a:b/${SECRET}@h:5432/d?sslmode=require`,
    `postgres://u:[${SECRET}@h/d?sslmode=require#x`,
  ])("%s is told to be", (url) => {
    expect(refusal(url)).toContain("percent-encode");
  });

  test("what needs no encoding is taken as it is", () => {
    expect(resolve("postgres://u:p:q[r]+$&'!*=~;,@h/d").secrets.password).toBe("p:q[r]+$&'!*=~;,");
    expect(resolve("postgres://h/d?password=a+b").secrets.password).toBe("a+b");
    expect(resolve("postgres://u:p@h/d\n").config.database).toBe("d");
  });
});

describe("hosts", () => {
  test.each([
    ["postgres://h,/d", "number 2 of 2"],
    ["postgres://,h/d", "number 1 of 2"],
    ["postgres://a,,c/d", "number 2 of 3"],
    ["postgres:///d?host=a,", "number 2 of 2"],
  ])("%s says which one is empty", (url, expected) => {
    expect(refusal(url)).toContain(expected);
  });

  test("hostaddr is the host, and a port without a number is the default's", () => {
    expect(resolve("postgres:///d?hostaddr=10.0.0.1").config.host).toBe("10.0.0.1");
    expect(resolve("postgres://h:/d").config.hosts).toEqual([{ host: "h", port: 5432 }]);
  });
});

describe("settings of the server", () => {
  test("search_path and options are for the session", () => {
    const url = "postgres://h/d?search_path=app,%20public&options=-c%20geqo%3Doff%20--work-mem=4MB";
    expect(resolve(url).config.options).toBe("-c geqo=off --work-mem=4MB -c search_path=app,\\ public");
  });

  test.each(["statement_timeout=1", "DateStyle=German", "timezone=UTC"])(
    "%s is not taken from options",
    (setting) => {
      expect(refusal(`postgres://h/d?options=-c%20${encodeURIComponent(setting)}`)).toContain(
        '"options" in url',
      );
    },
  );
});
