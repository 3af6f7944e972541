/** Options of PostgresStore: what they take, their defaults, and the environment behind them. */
import { inspect } from "node:util";
import { z } from "zod";

const key = z.union([
  z.instanceof(Uint8Array).refine((k) => k.byteLength === 32, "a key of exactly 32 bytes"),
  z.custom<() => Uint8Array | Promise<Uint8Array>>((v) => typeof v === "function", "a function"),
]);

const tls = z.union([
  z.boolean(),
  z.enum(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
  z.record(z.string(), z.unknown()),
]);

const millis = z.number().int().min(0).max(2_147_483_647);
const sessionAttrs = z.enum(["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]);

const isPort = (port: unknown) => /^\d+$/.test(String(port)) && Number(port) >= 1 && Number(port) <= 65_535;

const optionsSchema = z.strictObject({
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "a URL that begins with postgres:// or postgresql://")
    .optional(),
  connectionString: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "a URL that begins with postgres://")
    .optional(),
  host: z.string().min(1).optional(),
  port: z
    .union([z.number().int().refine(isPort), z.string().refine((p) => p.split(",").every(isPort))])
    .optional(),
  database: z.string().min(1).optional(),
  user: z.string().min(1).optional(),
  password: z.string().optional(),
  schema: z.string().optional(),
  table: z.string().optional(),
  notify: z.boolean().optional(),
  max: z.number().int().min(1).max(10_000).optional(),
  connectionTimeoutMillis: millis.optional(),
  idleTimeoutMillis: millis.optional(),
  statement_timeout: millis.optional(),
  listen_url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "a URL that begins with postgres://")
    .optional(),
  ssl: tls.optional(),
  prepare: z.boolean().optional(),
  application_name: z.string().max(63).optional(),
  target_session_attrs: sessionAttrs.optional(),
  dates: z.enum(["exact", "revive"]).optional(),
  pii_encryption: z.strictObject({ key }).optional(),
});

/** Options of {@link PostgresStore}. All are optional; PGHOST, PGPORT, … fill what is left out. */
export type PostgresStoreOptions = {
  /** `postgres://user:password@host:port/database?…`; several hosts as `host1:port1,host2:port2`. */
  readonly url?: string;
  /** The same as `url`, by node-postgres' name. */
  readonly connectionString?: string;
  /** Host, comma-separated hosts, or the folder of a Unix socket. Default `localhost`. */
  readonly host?: string;
  /** Port, or comma-separated ports. Default 5432. */
  readonly port?: number | string;
  /** Default `postgres`. */
  readonly database?: string;
  /** Default `postgres`. */
  readonly user?: string;
  /** Default `postgres`. */
  readonly password?: string;
  /** PostgreSQL schema of the tables. Default `public`. */
  readonly schema?: string;
  /** Name of the events table, prefix of the others. Default `events`. */
  readonly table?: string;
  /** Announce commits by NOTIFY and offer `store.notify`. Default false. */
  readonly notify?: boolean;
  /** Most connections of this store, the writer's included, the listener's not. Default 20. */
  readonly max?: number;
  /** Longest wait for a connection, in milliseconds. Default 10,000. */
  readonly connectionTimeoutMillis?: number;
  /** An idle connection is closed after this many milliseconds; 0 keeps it. Default 30,000. */
  readonly idleTimeoutMillis?: number;
  /** Longest run of one statement, in milliseconds; 0 is no limit. Default 60,000. */
  readonly statement_timeout?: number;
  /** A direct URL for LISTEN when `url` goes through a pooler in transaction mode. Default: as above. */
  readonly listen_url?: string;
  /** TLS: a mode of libpq's sslmode, `true` (verify-full), or options of `tls.connect`. Default off. */
  readonly ssl?: boolean | SslMode | Readonly<Record<string, unknown>>;
  /** Prepared statements. `false` behind a pooler in transaction mode. Default true. */
  readonly prepare?: boolean;
  /** Shown in pg_stat_activity. Default `act-drizzle`. */
  readonly application_name?: string;
  /** Which server of several hosts is taken, as in libpq. Default `any`. */
  readonly target_session_attrs?: z.infer<typeof sessionAttrs>;
  /** `exact`: what was committed comes back. `revive`: ISO strings in rows of other adapters become Dates. */
  readonly dates?: "exact" | "revive";
  /** Encrypts `pii` at rest with AES-256-GCM under a 32-byte key, or under the key a function provides. */
  readonly pii_encryption?: { readonly key: Uint8Array | (() => Uint8Array | Promise<Uint8Array>) };
};

export type SslMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";

export type Endpoint = { readonly host: string; readonly port: number };

/** Options with every default applied. `password` is there, but not enumerable: it does not print. */
export type Config = {
  readonly host: string;
  readonly port: number;
  readonly hosts: readonly Endpoint[];
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly schema: string;
  readonly table: string;
  readonly notify: boolean;
  readonly max: number;
  readonly connectionTimeoutMillis: number;
  readonly idleTimeoutMillis: number;
  readonly statement_timeout: number;
  readonly ssl: boolean | SslMode | Readonly<Record<string, unknown>>;
  readonly prepare: boolean;
  readonly application_name: string;
  readonly target_session_attrs: z.infer<typeof sessionAttrs>;
  readonly dates: "exact" | "revive";
  readonly encrypted: boolean;
};

type Env = Readonly<Record<string, string | undefined>>;
type Options = z.infer<typeof optionsSchema>;

/** The parts of a URL that the options name. `new URL` knows one host only, so the list is cut out first. */
function fromUrl(url: string): Options {
  const [, scheme = "", rest = ""] = /^(postgres(?:ql)?:\/\/)(.*)$/s.exec(url) ?? [];
  const end = rest.search(/[/?#]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const at = authority.lastIndexOf("@");
  const hosts = authority.slice(at + 1);
  const parsed = new URL(`${scheme}${authority.slice(0, at + 1)}placeholder${rest.slice(authority.length)}`);
  const pairs = hosts.split(",").map((h) => /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(h));
  if (pairs.some((p) => p === null)) throw new Error("act-drizzle: url has an invalid host or port.");
  const query = (name: string) => parsed.searchParams.get(name) ?? undefined;
  const number = (name: string) => (query(name) === undefined ? undefined : Number(query(name)));
  const ports = pairs.map((p) => p?.[2]);
  const seconds = number("connect_timeout");
  return optionsSchema.parse({
    host:
      pairs.map((p) => decodeURIComponent((p?.[1] ?? "").replace(/^\[|\]$/g, ""))).join(",") || query("host"),
    port: ports.some(Boolean) ? ports.map((p) => p ?? "5432").join(",") : query("port"),
    user: decodeURIComponent(parsed.username) || query("user"),
    password: parsed.password ? decodeURIComponent(parsed.password) : query("password"),
    database: decodeURIComponent(parsed.pathname.slice(1)) || query("dbname"),
    ssl: query("sslmode") ?? (query("ssl") === "true" ? true : undefined),
    application_name: query("application_name"),
    target_session_attrs: query("target_session_attrs"),
    connectionTimeoutMillis: seconds === undefined ? undefined : seconds * 1000,
    statement_timeout: number("statement_timeout"),
  });
}

/** The same, with errors that do not show the URL: it may hold a password. */
function readUrl(url: string): Options {
  try {
    return fromUrl(url);
  } catch (error) {
    throw error instanceof z.ZodError
      ? explain(error, " in url")
      : new Error('act-drizzle: option "url": a URL such as postgres://user:password@host:5432/database');
  }
}

/** What libpq reads from the environment. */
function fromEnv(env: Env): Record<string, unknown> {
  const set = (name: string) => env[name] || undefined;
  const seconds = set("PGCONNECT_TIMEOUT");
  return {
    host: set("PGHOST") ?? set("PGHOSTADDR"),
    port: set("PGPORT"),
    database: set("PGDATABASE"),
    user: set("PGUSER"),
    password: set("PGPASSWORD"),
    application_name: set("PGAPPNAME"),
    ssl: set("PGSSLMODE"),
    target_session_attrs: set("PGTARGETSESSIONATTRS"),
    connectionTimeoutMillis: seconds === undefined ? undefined : Number(seconds) * 1000,
  };
}

const TAKES: Readonly<Record<string, string>> = {
  port: "a port from 1 to 65535",
  pii_encryption: "{ key } with 32 bytes or a function that returns them",
  ssl: "true, false, a libpq sslmode or an object of tls.connect options",
};

/** One readable line for each wrong option; values are not shown, they may be secrets. */
function explain(error: z.ZodError, source: string): Error {
  const known = Object.keys(optionsSchema.shape).join(", ");
  const lines = error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((k) => `unknown option "${k}"; the options are ${known}`);
    const option = issue.path.join(".") || "options";
    return [`option "${option}"${source}: ${TAKES[String(issue.path[0])] ?? issue.message}`];
  });
  return new Error(`act-drizzle: ${lines.join("; ")}`);
}

function parse(input: unknown, source = ""): Options {
  const result = optionsSchema.safeParse(input);
  if (!result.success) throw explain(result.error, source);
  return result.data;
}

const defined = (options: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

function endpoints(host: string, port: number | string): Endpoint[] {
  const ports = String(port).split(",").map(Number);
  const hosts = host.split(",");
  if (ports.length > 1 && ports.length !== hosts.length)
    throw new Error(`act-drizzle: option "port": ${ports.length} ports for ${hosts.length} hosts.`);
  return hosts.map((h, i) => ({ host: h.trim(), port: ports[i] ?? ports[0] ?? 5432 }));
}

/** Options given > URL > environment > defaults. Throws one Error that names each wrong option. */
export function resolveConfig(
  options: unknown = {},
  env: Env = process.env,
): Config & { listen?: Config; key?: Key } {
  const given = parse(options ?? {});
  const url = given.url ?? given.connectionString;
  const parsed = url ? readUrl(url) : {};
  const chosen = { ...defined(parsed), ...defined(given) };
  // What is overridden may be as wrong as it likes.
  const rest = Object.entries(defined(fromEnv(env))).filter(([option]) => !(option in chosen));
  const merged = parse({ ...parse(Object.fromEntries(rest), " from the environment"), ...chosen });
  const hosts = endpoints(merged.host ?? "localhost", merged.port ?? 5432);
  const first = hosts[0] ?? { host: "localhost", port: 5432 };
  const config: Omit<Config, "password"> = {
    host: first.host,
    port: first.port,
    hosts,
    database: merged.database ?? "postgres",
    user: merged.user ?? "postgres",
    schema: merged.schema ?? "public",
    table: merged.table ?? "events",
    notify: merged.notify ?? false,
    max: merged.max ?? 20,
    connectionTimeoutMillis: merged.connectionTimeoutMillis ?? 10_000,
    idleTimeoutMillis: merged.idleTimeoutMillis ?? 30_000,
    statement_timeout: merged.statement_timeout ?? 60_000,
    ssl: merged.ssl ?? false,
    prepare: merged.prepare ?? true,
    application_name: merged.application_name ?? "act-drizzle",
    target_session_attrs: merged.target_session_attrs ?? "any",
    dates: merged.dates ?? "exact",
    encrypted: merged.pii_encryption !== undefined,
  };
  const hidden = (value: unknown) => ({ value, enumerable: false });
  const listen = given.listen_url ? listenConfig(given, given.listen_url, env) : undefined;
  return Object.defineProperties(config, {
    password: hidden(merged.password ?? "postgres"),
    // TLS options may hold a private key.
    ...(typeof config.ssl === "object" && { ssl: hidden(config.ssl) }),
    listen: hidden(listen),
    key: hidden(merged.pii_encryption?.key),
    [inspect.custom]: hidden(() => ({ ...config, password: "***" })),
  }) as Config & { listen?: Config; key?: Key };
}

/** As the store's own, but for what the direct URL says: host and port, and the login if it has one. */
function listenConfig(given: Options, url: string, env: Env): Config {
  const said = Object.keys(defined(readUrl(url)));
  const rest = Object.entries(defined(given)).filter(
    ([option]) => !["url", "connectionString", "listen_url", "host", "port", ...said].includes(option),
  );
  return resolveConfig({ ...Object.fromEntries(rest), url }, env);
}

export type Key = Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
