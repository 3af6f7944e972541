/** What variables of libpq ask for is done, refused, or documented as not read. */
import { describe, expect, test } from "vitest";
import { NOT_READ, VARIABLES } from "../../src/options/environment-variables.ts";
import { optionList } from "../../src/options/option-list.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { URL_PARAMETERS } from "../../src/options/url-parameters.ts";
import { pemFiles } from "./pem-files.ts";

const folder = pemFiles();

type Env = Readonly<Record<string, string>>;

/** `$DIR` in a text is the folder of the files. */
const withFolder = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll("$DIR", folder.path));
const resolve = (options: object, env: Env) => resolveOptions(withFolder(options), withFolder(env));
const modeOf = (options: object, env: Env) => resolve(options, env).config.ssl;
const parameters = (query: string) => ({ url: `postgres://h/d?${query}` });

function refusal(options: object, env: Env): string {
  try {
    resolve(options, env);
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
}

describe("the mode of TLS", () => {
  test.each<[Env, object, unknown]>([
    [{ PGCHANNELBINDING: "require" }, {}, "verify-full"],
    [{ PGCHANNELBINDING: "require", PGSSLMODE: "require" }, {}, "verify-full"],
    [{ PGCHANNELBINDING: "require", PGSSLMODE: "verify-ca" }, {}, "verify-ca"],
    [{ PGCHANNELBINDING: "require", PGSSLMODE: "require", PGSSLROOTCERT: "$DIR/ca.pem" }, {}, "verify-ca"],
    [{ PGCHANNELBINDING: "require" }, parameters("sslmode=require"), "verify-full"],
    [{ PGCHANNELBINDING: "require" }, parameters("sslmode=require&channel_binding=prefer"), "require"],
    [{ PGCHANNELBINDING: "require" }, { ssl: "require" }, "require"],
    [{ PGCHANNELBINDING: "require" }, { ssl: false }, false],
    [{ PGCHANNELBINDING: "prefer", PGSSLMODE: "require" }, {}, "require"],
    [{ PGREQUIRESSL: "1" }, {}, "require"],
    [{ PGREQUIRESSL: "0" }, {}, false],
    [{ PGREQUIRESSL: "0", PGSSLROOTCERT: "$DIR/ca.pem" }, {}, "verify-full"],
    [{ PGREQUIRESSL: "1", PGSSLMODE: "prefer" }, {}, "prefer"],
    [{ PGREQUIRESSL: "1" }, parameters("sslmode=verify-full"), "verify-full"],
  ])("with %j and %j is %s", (env, options, expected) => {
    expect(modeOf(options, env)).toBe(expected);
  });

  test.each(["disable", "no-verify"])("cannot be %s with PGCHANNELBINDING=require", (PGSSLMODE) => {
    for (const [env, options] of [
      [{ PGSSLMODE }, {}],
      [{}, parameters(`sslmode=${PGSSLMODE}`)],
    ] as const)
      expect(refusal(options, { ...env, PGCHANNELBINDING: "require" })).toContain(
        "PGCHANNELBINDING: it needs a server that is verified: ask for sslmode=verify-full",
      );
  });

  test("of a listen_url and of replicas obeys PGCHANNELBINDING too", () => {
    const own = "postgres://other/d";
    const others = {
      listen_url: `${own}?sslmode=require`,
      replicas: [own, `${own}?channel_binding=disable`],
    };
    const { listen, replicas } = resolve(
      { ...parameters("sslmode=require"), ...others },
      { PGCHANNELBINDING: "require" },
    );
    expect(listen?.config.ssl).toBe("verify-full");
    expect(replicas.map(({ config }) => config.ssl)).toEqual(["verify-full", "require"]);
  });
});

describe("a certificate file that a stronger source names verifies the server, beside a mode of a weaker one:", () => {
  const ca = "sslrootcert=$DIR/ca.pem";
  const client = "sslcert=$DIR/client.pem&sslkey=$DIR/client.key";
  test.each([
    ["disable", "verify-full", "verify-full"],
    ["allow", "verify-full", "verify-full"],
    ["prefer", "verify-full", "verify-full"],
    ["no-verify", "verify-full", "verify-full"],
    ["require", "verify-ca", "verify-full"],
    ["verify-ca", "verify-ca", "verify-ca"],
    ["verify-full", "verify-full", "verify-full"],
  ])("sslmode=%s", (sslmode, withCa, withClient) => {
    const options = (query: string) => Object.fromEntries(query.split("&").map((part) => part.split("=")));
    for (const [file, expected] of [
      [ca, withCa],
      [client, withClient],
    ] as const) {
      expect(modeOf(parameters(file), { PGSSLMODE: sslmode })).toBe(expected);
      expect(modeOf(options(file), { PGSSLMODE: sslmode })).toBe(expected);
      expect(modeOf({ ...parameters(`sslmode=${sslmode}`), ...options(file) }, {})).toBe(expected);
    }
  });

  test("a mode of the same source, or of a stronger one, stays", () => {
    expect(modeOf({}, { PGSSLMODE: "prefer", PGSSLROOTCERT: "$DIR/ca.pem" })).toBe("prefer");
    expect(modeOf(parameters("sslmode=prefer"), { PGSSLROOTCERT: "$DIR/ca.pem" })).toBe("prefer");
    expect(modeOf({ ...parameters(ca), ssl: "prefer" }, {})).toBe("prefer");
  });
});

/** Options with which the variable does not count. */
const OVERRIDDEN: Readonly<Record<string, readonly object[]>> = {
  always: [],
  tls: [{ ssl: { ca: "" } }, { ssl: "verify-full" }, parameters("sslmode=disable"), { host: "/tmp" }],
  socket: [{ host: "h" }],
  host: [{ host: "h" }, { url: "postgres://h/d" }],
};

describe("a variable that would weaken the connection, or lead it elsewhere, is refused", () => {
  test.each<[variable: string, refused: string, options: object]>([
    ["PGCHANNELBINDING", "yes", {}],
    ["PGREQUIREAUTH", "scram-sha-256", {}],
    ["PGREQUIREPEER", "postgres", { host: "/tmp" }],
    ["PGGSSENCMODE", "require", {}],
    ["PGSSLMINPROTOCOLVERSION", "TLSv1.3", {}],
    ["PGSSLCRL", "/crl.pem", { url: "postgres://h/d?sslmode=verify-full" }],
    ["PGSSLCRLDIR", "/crl", {}],
    ["PGSSLCERTMODE", "require", {}],
    ["PGSSLSNI", "0", {}],
    ["PGSERVICE", "prod", {}],
  ])("%s=%s", (variable, value, options) => {
    const env = { [variable]: value };
    expect(refusal(options, env)).toMatch(
      new RegExp(`^act-drizzle: variables of the environment are refused: ${variable}: .+unset them`),
    );
    const { parameter = "", counts = "always" } = VARIABLES[variable] ?? {};
    const { takes = [], does } = URL_PARAMETERS[parameter] ?? {};
    for (const weaker of OVERRIDDEN[counts] ?? []) expect(() => resolve(weaker, env)).not.toThrow();
    for (const harmless of takes) expect(() => resolve(options, { [variable]: harmless })).not.toThrow();
    if (does)
      expect(() => resolve({ ...parameters(`${parameter}=${takes[0]}`), ...options }, env)).not.toThrow();
    expect(() => resolve(options, { [variable]: "" })).not.toThrow();
  });

  test("PGHOST and PGHOSTADDR, if they differ and nothing stronger names the host", () => {
    const env = { PGHOST: "h", PGHOSTADDR: "10.0.0.1" };
    expect(refusal({}, env)).toContain("PGHOST and PGHOSTADDR");
    expect(resolve({ host: "other" }, env).config.host).toBe("other");
    expect(resolve({}, { PGHOST: "h", PGHOSTADDR: "h" }).config.host).toBe("h");
    expect(resolve({}, { PGHOSTADDR: "10.0.0.1" }).config.host).toBe("10.0.0.1");
  });

  test("the value is not shown, and all are named", () => {
    const said = refusal({}, { PGREQUIREAUTH: "hunter2", PGSERVICE: "hunter2" });
    expect(said).not.toContain("hunter2");
    expect(said).toMatch(/PGREQUIREAUTH.*PGSERVICE/);
  });
});

describe("the lists of variables", () => {
  test("have each variable once, those that are checked by a parameter that is refused for some value", () => {
    const options = optionList.flatMap(({ env }) => Object.keys(env ?? {}));
    const names = [...options, ...Object.keys(VARIABLES), ...Object.keys(NOT_READ)];
    expect(new Set(names).size).toBe(names.length);
    for (const { parameter } of Object.values(VARIABLES))
      expect(URL_PARAMETERS[parameter]?.refused, parameter).toBeTruthy();
  });

  test.each(Object.keys(NOT_READ))("%s changes nothing", (variable) => {
    expect(resolveOptions({}, { [variable]: "x" })).toEqual(resolveOptions({}, {}));
  });
});
