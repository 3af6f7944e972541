/**
 * Every option of PostgresStore, once. An entry is a zod schema with the default, and what zod cannot express: the type as
 * TypeScript writes it, the names in a URL and in the environment, and a line of documentation.
 *
 * `npm run generate:docs` writes options.generated.ts (the public types), the table in README.md and
 * docs/reference/options.md from it.
 */
import * as z from "zod";
import { isKeyMaterial, type Key } from "../values/pii-keys.ts";
import { type InlineProjections, isInline } from "./inline.ts";
import { type OnConnect, type Password, SSL_MODES, TARGET_SESSION_ATTRS } from "./modes.ts";
import { namesNoReservedSetting } from "./server-options.ts";
import { isSharedDatabase, type SharedDatabase } from "./shared-database.ts";

/** Names in a URL or in the environment, each with a function that parses its text. The first name that is set counts. */
export type Sources = Readonly<Record<string, (text: string) => unknown>>;

export type About = {
  /** The type as TypeScript writes it, without undefined. */
  readonly type: string;
  readonly docs: string;
  /** How `store.config` shows the option, if differently. False: not at all. */
  readonly config?: { readonly type: string; readonly docs: string } | false;
  /** Parameters of a URL, after its question mark. */
  readonly url?: Sources;
  /** Variables of the environment. */
  readonly env?: Sources;
  /** The accepted values, for the error message. Left out: zod's own message is used. */
  readonly takes?: string;
};

const about = z.registry<About>();

const asText = (text: string) => text;
const secondsAsMillis = (text: string) => Number(text) * 1000;
/** Other text is returned unchanged, for the schema to check: `ssl` also takes the name of a mode. */
const asFlag = (text: string) =>
  /^(1|true|on|yes)$/i.test(text) || (/^(0|false|off|no)$/i.test(text) ? false : text);
/** `pgbouncer=true` of Prisma and Supabase: a pooler in transaction mode, so `prepare` is false. */
const asPooler = (text: string) => {
  const flag = asFlag(text);
  return flag === true ? false : flag === false ? undefined : flag;
};
/** PGREQUIRESSL, from the time before PGSSLMODE. libpq looks at the first character only. */
const asRequired = (text: string) => (text.startsWith("1") ? "require" : undefined);
const quoted = (names: readonly string[]) => names.map((name) => JSON.stringify(name)).join(" | ");

const url = z.string().regex(/^postgres(ql)?:\/\//, "a URL that begins with postgres:// or postgresql://");
const name = z.string().min(1);
/** A PostgresDatabase becomes the empty string here: the store takes the name from the shared connections. */
const database = z
  .union([name, z.custom<SharedDatabase>(isSharedDatabase)])
  .default("postgres")
  .transform((value) => (typeof value === "string" ? value : ""));
const millis = z.number().int().min(0).max(2_147_483_647);
const isPort = (port: unknown) => /^\d+$/.test(String(port)) && Number(port) >= 1 && Number(port) <= 65_535;
const port = z.union([
  z.number().int().refine(isPort),
  z.string().refine((ports) => ports.split(",").every(isPort)),
]);
const ssl = z.union([z.boolean(), z.enum(SSL_MODES), z.record(z.string(), z.unknown()).readonly()]);
const limit = z.union([millis, z.literal(false)]).transform((value) => value || 0);
/** A new schema each time, because the registry keeps one entry per schema. */
const path = () => z.string().default("");
const key = z.custom<Key>((value) => typeof value === "function" || isKeyMaterial(value)).optional();
/** Exactly one of `key` and `keyProvider`; with `perStream` it must be a function. */
const pii = z
  .strictObject({
    key,
    keyProvider: key,
    algorithm: z
      .string()
      .regex(/^aes-256-gcm$/i)
      .optional(),
    perStream: z.boolean().optional(),
    unreadable: z.enum(["error", "omit"]).optional(),
  })
  .refine(
    ({ key, keyProvider, perStream }) =>
      (key === undefined) !== (keyProvider === undefined) &&
      (!perStream || typeof (key ?? keyProvider) === "function"),
  );

export const optionsSchema = z.strictObject({
  url: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "`postgres://user:password@host:port/database?…`; several hosts as `host1:port1,host2:port2`.",
  }),
  connectionString: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "Another name of `url`, which node-postgres uses.",
  }),
  host: name.default("localhost").register(about, {
    type: "string",
    docs: "Host, comma-separated hosts, or the folder of a Unix socket.",
    config: { type: "string", docs: "The first host." },
    url: { host: asText, hostaddr: asText },
    env: { PGHOST: asText, PGHOSTADDR: asText },
  }),
  port: port.default(5432).register(about, {
    type: "number | string",
    docs: "Port, or comma-separated ports, one for each host.",
    config: { type: "number", docs: "The port of the first host." },
    url: { port: asText },
    env: { PGPORT: asText },
    takes: "a port from 1 to 65535",
  }),
  database: database.register(about, {
    type: "string | SharedDatabase",
    docs: "Database to connect to, or a `PostgresDatabase`, whose connections the store then shares.",
    config: { type: "string", docs: "Database to connect to." },
    takes: "the name of a database, or a PostgresDatabase",
    url: { dbname: asText },
    env: { PGDATABASE: asText },
  }),
  user: name.default("postgres").register(about, {
    type: "string",
    docs: "User to connect as.",
    url: { user: asText },
    env: { PGUSER: asText },
  }),
  password: z
    .union([z.string(), z.custom<Exclude<Password, string>>((value) => typeof value === "function")])
    .default("postgres")
    .register(about, {
      type: "Password",
      config: false,
      docs: "Password of the user, or a function that each new connection calls for it, for example to get a token of a cloud service. Never shown in logs, errors or `inspect`.",
      url: { password: asText },
      env: { PGPASSWORD: asText },
      takes: "a string, or a function that returns one or a promise of one",
    }),
  schema: z
    .string()
    .default("public")
    .register(about, {
      type: "string",
      docs: "PostgreSQL schema of the tables, created if absent.",
      url: { schema: asText },
    }),
  table: z.string().default("events").register(about, {
    type: "string",
    docs: "Name of the events table; the others are `<table>_streams` and `<table>_correlated`.",
  }),
  notify: z.boolean().default(false).register(about, {
    type: "boolean",
    docs: "Announce commits by NOTIFY, and offer `store.notify`.",
  }),
  pollIntervalMillis: millis.default(4_000).register(about, {
    type: "number",
    docs: "With `notify`: how often a listener polls for work that no event announces, in milliseconds; `0`: only when something calls for it, such as an announcement or due work.",
  }),
  max: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .register(about, {
      type: "number",
      docs: "The most connections of this store: the one for commits counts, the one for LISTEN does not.",
      url: { max: Number, connection_limit: Number },
    }),
  min: z.number().int().min(0).max(10_000).default(0).register(about, {
    type: "number",
    docs: "`idleTimeoutMillis` closes no idle connection if fewer than this many connections would be left, those in use included.",
  }),
  maxUses: z
    .union([millis, z.literal(Number.POSITIVE_INFINITY)])
    .transform((uses) => (Number.isFinite(uses) ? uses : 0))
    .default(0)
    .register(about, {
      type: "number",
      docs: "A connection is closed after this many uses; `0` and `Infinity` are no limit.",
    }),
  connectionTimeoutMillis: millis.default(10_000).register(about, {
    type: "number",
    docs: "Longest wait for a connection, in milliseconds. URL and environment give seconds.",
    url: { connect_timeout: secondsAsMillis, pool_timeout: secondsAsMillis },
    env: { PGCONNECT_TIMEOUT: secondsAsMillis },
  }),
  idleTimeoutMillis: z
    .union([millis, z.null()])
    .default(30_000)
    .transform((value) => value ?? 0)
    .register(about, {
      type: "number | null",
      docs: "An idle connection is closed after this many milliseconds; `0` and `null` keep it.",
      config: {
        type: "number",
        docs: "After how many milliseconds an idle connection is closed; `0`: never.",
      },
      url: { idle_timeout: secondsAsMillis },
    }),
  keepAlive: z
    .boolean()
    .default(true)
    .register(about, {
      type: "boolean",
      docs: "TCP keep-alive of the connections.",
      url: { keepalives: asFlag },
    }),
  keepAliveInitialDelayMillis: millis.default(60_000).register(about, {
    type: "number",
    docs: "Silence before the first keep-alive probe, in milliseconds; `0` is the operating system's default.",
    url: { keepalives_idle: secondsAsMillis },
  }),
  statement_timeout: limit.default(60_000).register(about, {
    type: "number | false",
    docs: "Longest run of one statement, in milliseconds; `0` and `false` are no limit.",
    config: { type: "number", docs: "Longest run of one statement, in milliseconds; `0` is no limit." },
    url: { statement_timeout: Number },
  }),
  slowStatementMillis: limit.default(1_000).register(about, {
    type: "number | false",
    docs: "A statement that takes longer than this many milliseconds is logged, once per verb and minute; `0` and `false`: never.",
    config: {
      type: "number",
      docs: "A statement that takes longer than this many milliseconds is logged; `0`: none is.",
    },
  }),
  query_timeout: limit.default(0).register(about, {
    type: "number | false",
    docs: "Longest wait for an answer, in milliseconds; then the connection is closed. `0` and `false`: `statement_timeout` plus 5 s.",
    config: {
      type: "number",
      docs: "Longest wait for an answer, in milliseconds; `0`: `statement_timeout` plus 5 s.",
    },
    url: { query_timeout: Number },
  }),
  lock_timeout: limit.default(0).register(about, {
    type: "number | false",
    docs: "Longest wait of a statement for a lock, in milliseconds; `0` and `false`: the role's own limit. Commits wait for the append lock, so a low limit makes them fail.",
    config: {
      type: "number",
      docs: "Longest wait for a lock, in milliseconds; `0`: the role's own setting.",
    },
    url: { lock_timeout: Number },
  }),
  idle_in_transaction_session_timeout: limit.default(60_000).register(about, {
    type: "number | false",
    docs: "The server ends a transaction after this many idle ms; `0`, `false`: never. In a commit 10 s at most (more with `max` 1 or `inline`), in a restore 60 s. `prepare: false`: elsewhere the role's limit.",
    config: { type: "number", docs: "After how many milliseconds the server ends an idle transaction." },
    url: { idle_in_transaction_session_timeout: Number },
  }),
  options: z
    .string()
    .refine(namesNoReservedSetting)
    .default("")
    .register(about, {
      type: "string",
      docs: "Settings of the server for each session, as in libpq: `-c search_path=app -c geqo=off`.",
      url: { options: asText },
      env: { PGOPTIONS: asText },
      takes:
        "server settings such as -c geqo=off; statement_timeout, lock_timeout, idle_in_transaction_session_timeout and application_name are options of their own, and client_encoding, DateStyle, TimeZone, array_nulls, extra_float_digits, standard_conforming_strings, plan_cache_mode and the isolation level are set by the store",
    }),
  onConnect: z
    .custom<OnConnect>((value) => typeof value === "function")
    .optional()
    .register(about, {
      type: "OnConnect",
      config: false,
      docs: 'Called with each new connection that is not for LISTEN, before its first use: `({ query }) => query("set role app")`.',
      takes: "a function",
    }),
  listen_url: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "A direct URL for LISTEN when `url` leads through a pooler in transaction mode. If left out, LISTEN uses the store's own URL.",
  }),
  replicas: z.array(url).readonly().default([]).register(about, {
    type: "readonly string[]",
    config: false,
    docs: "URLs of standbys that answer `query` and `query_stats` while they have everything that this process has seen. Their other options are the store's.",
    takes: "a list of URLs that begin with postgres:// or postgresql://",
  }),
  replicaLagMillis: limit.default(10_000).register(about, {
    type: "number | false",
    docs: "A replica that is more than this many milliseconds behind is not read; `0` and `false` are no limit.",
    config: {
      type: "number",
      docs: "How far behind a replica may be, in milliseconds; `0` is no limit.",
    },
    takes: "a number of milliseconds, or false",
  }),
  ssl: ssl.default(false).register(about, {
    type: "boolean | SslMode | Readonly<Record<string, unknown>>",
    docs: "TLS: `true` (verify-full), a mode of libpq's sslmode, `no-verify`, or options of `tls.connect`.",
    config: {
      type: "boolean | SslMode",
      docs: "TLS: a mode of libpq's sslmode, or `true` for verify-full and for options of `tls.connect`.",
    },
    url: { sslmode: asText, ssl: asFlag },
    env: { PGSSLMODE: asText, PGREQUIRESSL: asRequired },
    takes: "true, false, a libpq sslmode, no-verify or an object of tls.connect options",
  }),
  sslrootcert: path().register(about, {
    type: "string",
    docs: "PEM file of the CA certificates that verify the server's certificate, or `system`. Without `ssl` the mode is then verify-full; a file with `require`: verify-ca; `system` needs verify-full.",
    url: { sslrootcert: asText },
    env: { PGSSLROOTCERT: asText },
  }),
  sslcert: path().register(about, {
    type: "string",
    docs: "PEM file of the client's certificate. Without `ssl` the mode is then verify-full.",
    url: { sslcert: asText },
    env: { PGSSLCERT: asText },
  }),
  sslkey: path().register(about, {
    type: "string",
    docs: "PEM file of the key of `sslcert`.",
    url: { sslkey: asText },
    env: { PGSSLKEY: asText },
  }),
  prepare: z
    .boolean()
    .default(true)
    .register(about, {
      type: "boolean",
      docs: "Prepared statements. `false` behind a pooler in transaction mode.",
      url: { prepare: asFlag, pgbouncer: asPooler },
    }),
  application_name: z
    .string()
    .max(63)
    .default("act-drizzle")
    .register(about, {
      type: "string",
      docs: "Shown in `pg_stat_activity`.",
      url: { application_name: asText, fallback_application_name: asText },
      env: { PGAPPNAME: asText },
    }),
  target_session_attrs: z
    .enum(TARGET_SESSION_ATTRS)
    .default("any")
    .register(about, {
      type: "TargetSessionAttrs",
      docs: `Which of several hosts to use, as in libpq: ${quoted(TARGET_SESSION_ATTRS).replaceAll('"', "`").replaceAll(" |", ",")}.`,
      url: { target_session_attrs: asText },
      env: { PGTARGETSESSIONATTRS: asText },
    }),
  dates: z
    .enum(["exact", "revive"])
    .default("exact")
    .register(about, {
      type: quoted(["exact", "revive"]),
      docs: "`exact`: values are read as they were committed. `revive`: ISO strings in rows of other adapters are also read as Dates.",
    }),
  inline: z.custom<InlineProjections>(isInline).optional().register(about, {
    type: "InlineProjections",
    config: false,
    docs: "Projections that are part of the commit: the result of `inline()` of `act-drizzle/projections`.",
    takes:
      "the result of inline() of act-drizzle/projections, as in inline: inline({ events: { Placed }, on: { Placed: (events, tx) => … } })",
  }),
  pii_encryption: pii.readonly().optional().register(about, {
    type: "PiiEncryption",
    config: false,
    docs: "`{ key }`: encrypts `pii` at rest with AES-256-GCM. If left out, `pii` is stored as plain text.",
    takes:
      "{ key } or { keyProvider } with 32 bytes, a list of such keys, or a function that returns them; and algorithm (aes-256-gcm), perStream (with a function), unreadable (error or omit)",
  }),
});

/** The options in the order in which they are shown. */
export const optionList = Object.entries(optionsSchema.shape).map(([option, schema]) => {
  const entry: About | undefined = about.get(schema);
  if (!entry) throw new Error(`option ${option} is not described`);
  return { name: option, ...entry };
});

export type Options = z.output<typeof optionsSchema>;
