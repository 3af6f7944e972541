// Made from option-list.ts by "npm run generate:docs": do not edit.
import type { InlineProjections } from "./inline.ts";
import type { OnConnect, Password, SslMode, TargetSessionAttrs } from "./modes.ts";
import type { PiiEncryption } from "./pii.ts";
import type { SharedDatabase } from "./shared-database.ts";

/** Options of PostgresStore. All are optional; the variables of libpq (PGHOST, PGPORT, …) fill what is left out. */
export type PostgresStoreOptions = {
  /** `postgres://user:password@host:port/database?…`; several hosts as `host1:port1,host2:port2`. */
  readonly url?: string | undefined;
  /** Another name of `url`, which node-postgres uses. */
  readonly connectionString?: string | undefined;
  /** Host, comma-separated hosts, or the folder of a Unix socket. Default `localhost`. */
  readonly host?: string | undefined;
  /** Port, or comma-separated ports, one for each host. Default `5432`. */
  readonly port?: number | string | undefined;
  /** Database to connect to, or a `PostgresDatabase`, whose connections the store then shares. Default `postgres`. */
  readonly database?: string | SharedDatabase | undefined;
  /** User to connect as. Default `postgres`. */
  readonly user?: string | undefined;
  /** Password of the user, or a function that each new connection calls for it, for example to get a token of a cloud service. Never shown in logs, errors or `inspect`. Default `postgres`. */
  readonly password?: Password | undefined;
  /** PostgreSQL schema of the tables, created if absent. Default `public`. */
  readonly schema?: string | undefined;
  /** Name of the events table; the others are `<table>_streams` and `<table>_correlated`. Default `events`. */
  readonly table?: string | undefined;
  /** Announce commits by NOTIFY, and offer `store.notify`. Default `false`. */
  readonly notify?: boolean | undefined;
  /** With `notify`: how often a listener polls for work that no event announces, in milliseconds; `0`: only when something calls for it, such as an announcement or due work. Default `4000`. */
  readonly pollIntervalMillis?: number | undefined;
  /** The most connections of this store: the one for commits counts, the one for LISTEN does not. Default `20`. */
  readonly max?: number | undefined;
  /** `idleTimeoutMillis` closes no idle connection if fewer than this many connections would be left, those in use included. Default `0`. */
  readonly min?: number | undefined;
  /** A connection is closed after this many uses; `0` and `Infinity` are no limit. Default `0`. */
  readonly maxUses?: number | undefined;
  /** Longest wait for a connection, in milliseconds. URL and environment give seconds. Default `10000`. */
  readonly connectionTimeoutMillis?: number | undefined;
  /** An idle connection is closed after this many milliseconds; `0` and `null` keep it. Default `30000`. */
  readonly idleTimeoutMillis?: number | null | undefined;
  /** TCP keep-alive of the connections. Default `true`. */
  readonly keepAlive?: boolean | undefined;
  /** Silence before the first keep-alive probe, in milliseconds; `0` is the operating system's default. Default `60000`. */
  readonly keepAliveInitialDelayMillis?: number | undefined;
  /** Longest run of one statement, in milliseconds; `0` and `false` are no limit. Default `60000`. */
  readonly statement_timeout?: number | false | undefined;
  /** A statement that takes longer than this many milliseconds is logged, once per verb and minute; `0` and `false`: never. Default `1000`. */
  readonly slowStatementMillis?: number | false | undefined;
  /** Longest wait for an answer, in milliseconds; then the connection is closed. `0` and `false`: `statement_timeout` plus 5 s. Default `0`. */
  readonly query_timeout?: number | false | undefined;
  /** Longest wait of a statement for a lock, in milliseconds; `0` and `false`: the role's own limit. Commits wait for the append lock, so a low limit makes them fail. Default `0`. */
  readonly lock_timeout?: number | false | undefined;
  /** The server ends a transaction after this many idle ms; `0`, `false`: never. In a commit 10 s at most (more with `max` 1 or `inline`), in a restore 60 s. `prepare: false`: elsewhere the role's limit. Default `60000`. */
  readonly idle_in_transaction_session_timeout?: number | false | undefined;
  /** Settings of the server for each session, as in libpq: `-c search_path=app -c geqo=off`. */
  readonly options?: string | undefined;
  /** Called with each new connection that is not for LISTEN, before its first use: `({ query }) => query("set role app")`. */
  readonly onConnect?: OnConnect | undefined;
  /** A direct URL for LISTEN when `url` leads through a pooler in transaction mode. If left out, LISTEN uses the store's own URL. */
  readonly listen_url?: string | undefined;
  /** URLs of standbys that answer `query` and `query_stats` while they have everything that this process has seen. Their other options are the store's. */
  readonly replicas?: readonly string[] | undefined;
  /** A replica that is more than this many milliseconds behind is not read; `0` and `false` are no limit. Default `10000`. */
  readonly replicaLagMillis?: number | false | undefined;
  /** TLS: `true` (verify-full), a mode of libpq's sslmode, `no-verify`, or options of `tls.connect`. Default `false`. */
  readonly ssl?: boolean | SslMode | Readonly<Record<string, unknown>> | undefined;
  /** PEM file of the CA certificates that verify the server's certificate, or `system`. Without `ssl` the mode is then verify-full; a file with `require`: verify-ca; `system` needs verify-full. */
  readonly sslrootcert?: string | undefined;
  /** PEM file of the client's certificate. Without `ssl` the mode is then verify-full. */
  readonly sslcert?: string | undefined;
  /** PEM file of the key of `sslcert`. */
  readonly sslkey?: string | undefined;
  /** Prepared statements. `false` behind a pooler in transaction mode. Default `true`. */
  readonly prepare?: boolean | undefined;
  /** Shown in `pg_stat_activity`. Default `act-drizzle`. */
  readonly application_name?: string | undefined;
  /** Which of several hosts to use, as in libpq: `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`. Default `any`. */
  readonly target_session_attrs?: TargetSessionAttrs | undefined;
  /** `exact`: values are read as they were committed. `revive`: ISO strings in rows of other adapters are also read as Dates. Default `exact`. */
  readonly dates?: "exact" | "revive" | undefined;
  /** Projections that are part of the commit: the result of `inline()` of `act-drizzle/projections`. */
  readonly inline?: InlineProjections | undefined;
  /** `{ key }`: encrypts `pii` at rest with AES-256-GCM. If left out, `pii` is stored as plain text. */
  readonly pii_encryption?: PiiEncryption | undefined;
};

/** The options that are kept for everybody to read, with every default applied. */
export type ConfigOptions = {
  /** The first host. */
  readonly host: string;
  /** The port of the first host. */
  readonly port: number;
  /** Database to connect to. */
  readonly database: string;
  /** User to connect as. */
  readonly user: string;
  /** PostgreSQL schema of the tables, created if absent. */
  readonly schema: string;
  /** Name of the events table; the others are `<table>_streams` and `<table>_correlated`. */
  readonly table: string;
  /** Announce commits by NOTIFY, and offer `store.notify`. */
  readonly notify: boolean;
  /** With `notify`: how often a listener polls for work that no event announces, in milliseconds; `0`: only when something calls for it, such as an announcement or due work. */
  readonly pollIntervalMillis: number;
  /** The most connections of this store: the one for commits counts, the one for LISTEN does not. */
  readonly max: number;
  /** `idleTimeoutMillis` closes no idle connection if fewer than this many connections would be left, those in use included. */
  readonly min: number;
  /** A connection is closed after this many uses; `0` and `Infinity` are no limit. */
  readonly maxUses: number;
  /** Longest wait for a connection, in milliseconds. URL and environment give seconds. */
  readonly connectionTimeoutMillis: number;
  /** After how many milliseconds an idle connection is closed; `0`: never. */
  readonly idleTimeoutMillis: number;
  /** TCP keep-alive of the connections. */
  readonly keepAlive: boolean;
  /** Silence before the first keep-alive probe, in milliseconds; `0` is the operating system's default. */
  readonly keepAliveInitialDelayMillis: number;
  /** Longest run of one statement, in milliseconds; `0` is no limit. */
  readonly statement_timeout: number;
  /** A statement that takes longer than this many milliseconds is logged; `0`: none is. */
  readonly slowStatementMillis: number;
  /** Longest wait for an answer, in milliseconds; `0`: `statement_timeout` plus 5 s. */
  readonly query_timeout: number;
  /** Longest wait for a lock, in milliseconds; `0`: the role's own setting. */
  readonly lock_timeout: number;
  /** After how many milliseconds the server ends an idle transaction. */
  readonly idle_in_transaction_session_timeout: number;
  /** Settings of the server for each session, as in libpq: `-c search_path=app -c geqo=off`. */
  readonly options: string;
  /** How far behind a replica may be, in milliseconds; `0` is no limit. */
  readonly replicaLagMillis: number;
  /** TLS: a mode of libpq's sslmode, or `true` for verify-full and for options of `tls.connect`. */
  readonly ssl: boolean | SslMode;
  /** PEM file of the CA certificates that verify the server's certificate, or `system`. Without `ssl` the mode is then verify-full; a file with `require`: verify-ca; `system` needs verify-full. */
  readonly sslrootcert: string;
  /** PEM file of the client's certificate. Without `ssl` the mode is then verify-full. */
  readonly sslcert: string;
  /** PEM file of the key of `sslcert`. */
  readonly sslkey: string;
  /** Prepared statements. `false` behind a pooler in transaction mode. */
  readonly prepare: boolean;
  /** Shown in `pg_stat_activity`. */
  readonly application_name: string;
  /** Which of several hosts to use, as in libpq: `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`. */
  readonly target_session_attrs: TargetSessionAttrs;
  /** `exact`: values are read as they were committed. `revive`: ISO strings in rows of other adapters are also read as Dates. */
  readonly dates: "exact" | "revive";
};
