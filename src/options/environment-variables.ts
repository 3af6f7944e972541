/**
 * The variables of libpq that are not options; those that are options are in option-list.ts. A process may have variables
 * that are meant for psql, so most are only not read. But a variable is refused if the store would connect elsewhere without
 * it, or with less protection than it asks for.
 *
 * `npm run generate:docs` writes the tables in docs/reference/connection-strings.md.
 */

/** When a variable counts. A parameter of the same meaning in the URL wins over it. */
export const COUNTS = {
  always: "always",
  tls: "unless TLS is turned off, the option `ssl` is given, or all hosts are Unix sockets",
  socket: "on a Unix socket",
  host: "unless an option or the URL names the host",
} as const;

export type Variable = {
  /** The parameter of a URL that means the same. It says which values are refused. */
  readonly parameter: string;
  readonly counts: keyof typeof COUNTS;
};

/** Variables that are obeyed or refused. */
export const VARIABLES: Readonly<Record<string, Variable>> = {
  PGCHANNELBINDING: { parameter: "channel_binding", counts: "tls" },
  PGREQUIREAUTH: { parameter: "require_auth", counts: "always" },
  PGREQUIREPEER: { parameter: "requirepeer", counts: "socket" },
  PGGSSENCMODE: { parameter: "gssencmode", counts: "always" },
  PGSSLMINPROTOCOLVERSION: { parameter: "ssl_min_protocol_version", counts: "tls" },
  PGSSLCRL: { parameter: "sslcrl", counts: "tls" },
  PGSSLCRLDIR: { parameter: "sslcrldir", counts: "tls" },
  PGSSLCERTMODE: { parameter: "sslcertmode", counts: "tls" },
  PGSSLSNI: { parameter: "sslsni", counts: "tls" },
  PGSERVICE: { parameter: "service", counts: "host" },
};

/** Variables that are not read, and why that is safe. */
export const NOT_READ: Readonly<Record<string, string>> = {
  PGPASSFILE: "No .pgpass is read. With a wrong password the server refuses the connection.",
  PGSERVICEFILE: "It names no service by itself.",
  PGSYSCONFDIR: "No pg_service.conf is read.",
  PGSSLMAXPROTOCOLVERSION: "A newer version of TLS is no weaker.",
  PGSSLNEGOTIATION: "TLS is asked for in PostgreSQL's way, which every server knows.",
  PGSSLCOMPRESSION: "TLS is never compressed.",
  PGMINPROTOCOLVERSION: "The driver speaks version 3.0 of PostgreSQL's protocol.",
  PGMAXPROTOCOLVERSION: "The driver speaks version 3.0 of PostgreSQL's protocol.",
  PGLOADBALANCEHOSTS: "Hosts are tried in their order.",
  PGKRBSRVNAME: "The driver does not know Kerberos.",
  PGGSSLIB: "The driver does not know GSSAPI.",
  PGGSSDELEGATION: "The driver does not know GSSAPI.",
  PGCLIENTENCODING: "It is always UTF8.",
  PGDATESTYLE: "The store sets what it needs.",
  PGTZ: "The store sets what it needs.",
  PGGEQO: "Give `-c geqo=off` in `options` or PGOPTIONS.",
  PGLOCALEDIR: "The store has no translations.",
};
