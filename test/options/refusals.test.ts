/** A wrong option: one readable Error, at once, that names the option and what it takes, and no value. */
import { describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";

/** What the constructor says. */
function refusal(options: unknown, env: Record<string, string> = {}): string {
  try {
    resolveOptions(options, env);
  } catch (error) {
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    expect(error.message).toMatch(/^act-drizzle: /);
    expect(error.message).not.toContain("\n");
    expect(error.cause).toBeUndefined();
    return error.message;
  }
  throw new Error(`accepted: ${JSON.stringify(options)}`);
}

const SECRET = "hunter2";
const key = (bytes: number) => ({ key: new Uint8Array(bytes) });

describe("each option names itself and what it takes", () => {
  test.each<[string, unknown[], RegExp]>([
    [
      "url",
      [5, "", "localhost:5432/db", `http://u:${SECRET}@h/db`, `mysql://u:${SECRET}@h`],
      /postgres|string/,
    ],
    ["connectionString", [5, "x"], /postgres|string/],
    ["listen_url", [5, "http://h", ""], /postgres|string/],
    ["replicas", ["postgres://h/d", [5], ["http://h"], [""]], /a list of URLs/],
    ["replicaLagMillis", [-1, "5", true], /number|false/],
    ["host", [5, "", null, ["a"]], /string|character/],
    [
      "port",
      [Number.NaN, 0, -1, 65_536, 1.5, "abc", "", "0", "65536", "99999", "1,99999", null, true],
      /1 to 65535/,
    ],
    ["database", [5, "", null], /name of a database/],
    ["user", [5, "", null], /string|character/],
    ["password", [5, null, { secret: SECRET }], /string.*function/],
    ["schema", [5, null], /string/],
    ["table", [5, null], /string/],
    ["notify", ["true", 1, null], /boolean/],
    ["max", [0, -1, 1.5, Number.NaN, "5", Number.POSITIVE_INFINITY, null], /number|int|>=\s?1/],
    [
      "connectionTimeoutMillis",
      [-1, 1.5, Number.NaN, "5", Number.POSITIVE_INFINITY, 2 ** 31],
      /number|int|>=|<=/,
    ],
    ["idleTimeoutMillis", [-1, Number.NaN, "5"], /number|>=|input/],
    ["statement_timeout", [-1, Number.NaN, "5", 2 ** 31, true], /number|>=|<=|input/],
    ["query_timeout", [-1, "5", true], /number|>=|input/],
    ["lock_timeout", [-1, "5", true], /number|>=|input/],
    ["idle_in_transaction_session_timeout", [-1, "5", true], /number|>=|input/],
    ["min", [-1, 1.5, "5", null], /number|int|>=/],
    ["maxUses", [-1, "5", null, Number.NaN], /number|input/],
    ["keepAlive", [0, "true", null], /boolean/],
    ["keepAliveInitialDelayMillis", [-1, "5", null], /number|>=/],
    ["options", [5, null, "-c statement_timeout=5", "--DateStyle=German"], /server settings such as/],
    ["onConnect", ["select 1", null, {}], /function/],
    ["sslrootcert", [5, null], /string/],
    ["ssl", ["on", "require ", 5, null, "true"], /sslmode|tls\.connect/],
    ["prepare", ["false", 0, null], /boolean/],
    ["application_name", [5, "x".repeat(64), null], /string|63/],
    ["target_session_attrs", ["master", 5, null, ""], /read-write/],
    ["dates", ["iso", true, null, ""], /exact.*revive/],
    [
      "pii_encryption",
      [
        key(31),
        key(33),
        key(0),
        {},
        { key: "k".repeat(32) },
        { key: 5 },
        true,
        "x",
        null,
        { key: [] },
        { keyProvider: key(31) },
        { key: key(32), keyProvider: key(32) },
        { key: key(32), perStream: true },
        { key: key(32), algorithm: "aes-128-cbc" },
      ],
      /32 bytes/,
    ],
  ])("%s", (option, values, takes) => {
    for (const value of values) {
      const said = refusal({ [option]: value });
      expect(said).toContain(`"${option}`);
      expect(said).toMatch(takes);
      expect(said).not.toContain(SECRET);
    }
  });

  test("an unknown option, and which ones there are", () => {
    const said = refusal({ hots: "a" });
    expect(said).toContain('"hots"');
    for (const option of ["host", "port", "url", "pii_encryption"]) expect(said).toContain(option);
  });

  test("an unknown option of pii_encryption is not said to be one of the store", () => {
    const said = refusal({ pii_encryption: { key: new Uint8Array(32), kye: 1 } });
    expect(said).toContain("kye");
    expect(said).toContain("pii_encryption");
  });

  test("options that are no object", () => {
    for (const options of ["postgres://u:hunter2@h/db", 5, true, [], () => {}]) {
      const said = refusal(options);
      expect(said).toContain("options");
      expect(said).not.toContain(SECRET);
    }
  });

  test("several wrong options are named together", () => {
    const said = refusal({ port: 0, max: 0, hots: "a", dates: "x" });
    for (const option of ["port", "max", "hots", "dates"]) expect(said).toContain(`"${option}"`);
  });

  test("the constructor says it, not the first use", () => {
    expect(() => new PostgresStore({ port: Number.NaN })).toThrow(/"port"/);
    expect(() => new PostgresStore({ max: 0 })).toThrow(/"max"/);
  });
});

describe("URLs", () => {
  test.each([
    `postgres://u:${SECRET}@h:port/db`,
    `postgres://u:${SECRET}@h:99999/db`,
    `postgres://u:${SECRET}@h:0/db`,
    `postgres://u:${SECRET}%ZZ@h/db`,
    `postgres://u:${SECRET}@[::1/db`,
    `postgres://u:${SECRET}@h1:1:2/db`,
    `postgres://u:${SECRET}@h/db%ZZ`,
    `postgres://u:${SECRET}/#@h/db`,
  ])("%s is refused as a URL or a port, without its password", (url) => {
    for (const options of [{ url }, { listen_url: url, notify: true }]) {
      const said = refusal(options);
      expect(said).toMatch(/url|"port"/);
      expect(said).not.toContain(SECRET);
    }
  });

  test.each([
    ["sslmode=nonsense", /"ssl".*sslmode/],
    ["target_session_attrs=master", /"target_session_attrs".*read-write/],
    ["connect_timeout=soon", /"connectionTimeoutMillis"/],
    ["statement_timeout=-1", /"statement_timeout"/],
    ["port=0", /"port".*1 to 65535/],
    ["port=1,2,3", /"port".*3 ports for 1 host/],
  ])("%s names the option and that it stands in the URL", (query, expected) => {
    const said = refusal({ url: `postgres://u:${SECRET}@/db?host=h&${query}` });
    expect(said).toMatch(expected);
    expect(said).toMatch(/url|ports for/);
    expect(said).not.toContain(SECRET);
  });

  test("more ports than hosts, or fewer, are refused with their numbers", () => {
    expect(refusal({ host: "a,b", port: "1,2,3" })).toMatch(/"port".*3 ports for 2 hosts/);
    expect(refusal({ host: "a,b,c", port: "1,2" })).toMatch(/"port".*2 ports for 3 hosts/);
  });
});

describe("the environment", () => {
  test.each([
    ["PGPORT", "abc", /"port"/],
    ["PGPORT", "70000", /"port"/],
    ["PGSSLMODE", "on", /"ssl"/],
    ["PGTARGETSESSIONATTRS", "master", /"target_session_attrs"/],
    ["PGCONNECT_TIMEOUT", "soon", /"connectionTimeoutMillis"/],
  ])("%s=%s is refused, and the error says where it comes from", (name, value, expected) => {
    const said = refusal({}, { [name]: value, PGPASSWORD: SECRET });
    expect(said).toMatch(expected);
    expect(said).toContain("environment");
    expect(said).not.toContain(SECRET);
  });
});
