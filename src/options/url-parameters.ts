/**
 * The parameters of a URL that are not options: what they do here, or why they are refused. Parameters that are options
 * are in option-list.ts. Any other parameter is an error: if the store ignored a misspelt TLS parameter, it would connect
 * without TLS.
 *
 * `npm run generate:docs` writes the table in docs/reference/connection-strings.md from both lists.
 */
export type UrlParameter = {
  /** Where the name comes from. */
  readonly from: "libpq" | "node-postgres" | "postgres.js" | "Prisma" | "Vercel";
  /** What the accepted values do, as a sentence. Left out: every value is refused. */
  readonly does?: string;
  /** The accepted values. If there is `does` and not this, every value is accepted. */
  readonly takes?: readonly string[];
  /** Why other values are refused, and what to do. */
  readonly refused?: string;
};

const ENCODING = ["utf8", "UTF8", "utf-8", "UTF-8", "auto", "unicode", "UNICODE"];
const by = (instead: string) => `give the option ${instead} instead`;
const NO_SOCKET_OPTION = "Node.js cannot set it: leave it out";
/** For values that ask for what the store does anyway. */
const ALREADY_SO = "What the store always does.";
const NO_KERBEROS = "the driver knows neither GSSAPI nor Kerberos: leave it out";
const NOT_CHECKED = "the driver does not check it: leave it out";

export const URL_PARAMETERS: Readonly<Record<string, UrlParameter>> = {
  search_path: {
    from: "postgres.js",
    does: "The session's search_path, as in `options`. The store names its own tables with their schema.",
  },
  channel_binding: {
    from: "libpq",
    takes: ["disable", "prefer", "require"],
    does: "The driver cannot bind channels. `require` verifies the server's certificate instead (verify-full; verify-ca with `sslmode=verify-ca`, or with `sslmode=require` and `sslrootcert`), which also keeps out an attacker in between.",
    refused: "it takes disable, prefer or require",
  },
  sslnegotiation: {
    from: "libpq",
    takes: ["postgres"],
    does: ALREADY_SO,
    refused: "TLS is asked for in PostgreSQL's way: leave it out",
  },
  sslcompression: { from: "libpq", does: "Nothing: TLS is never compressed.", takes: ["0", "1"] },
  sslsni: {
    from: "libpq",
    takes: ["1"],
    does: ALREADY_SO,
    refused: "the server's name is sent: leave it out",
  },
  sslcertmode: {
    from: "libpq",
    takes: ["allow"],
    does: ALREADY_SO,
    refused: "a certificate is sent if sslcert is given and the server asks: leave it out",
  },
  sslaccept: {
    from: "Prisma",
    takes: ["strict", "accept_invalid_certs"],
    does: "`strict` is `sslmode=verify-full`; `accept_invalid_certs` is `sslmode=require`.",
    refused: "it takes strict or accept_invalid_certs",
  },
  uselibpqcompat: {
    from: "node-postgres",
    takes: ["true"],
    does: "What the store always does: the modes of `sslmode` are libpq's.",
    refused: "the modes of sslmode are libpq's: ask for verify-full by its name",
  },
  gssencmode: {
    from: "libpq",
    takes: ["disable", "prefer"],
    does: "What the store always does: GSSAPI is not used.",
    refused: NO_KERBEROS,
  },
  client_encoding: { from: "libpq", takes: ENCODING, does: ALREADY_SO, refused: "it is UTF8: leave it out" },
  encoding: {
    from: "node-postgres",
    takes: ENCODING,
    does: ALREADY_SO,
    refused: "it is UTF8: leave it out",
  },
  load_balance_hosts: {
    from: "libpq",
    takes: ["disable"],
    does: ALREADY_SO,
    refused: "hosts are tried in their order: leave it out",
  },
  supa: { from: "Vercel", does: "Nothing: Vercel's mark for Supabase." },
  workaround: { from: "Vercel", does: "Nothing: Vercel's mark for its own client." },
  sslcrl: { from: "libpq", refused: by("ssl: { ca, crl }") },
  sslcrldir: { from: "libpq", refused: by("ssl: { ca, crl }") },
  sslpassword: { from: "libpq", refused: by("ssl: { cert, key, passphrase }") },
  sslidentity: { from: "Prisma", refused: by("ssl: { pfx, passphrase }") },
  ssl_min_protocol_version: {
    from: "libpq",
    takes: ["TLSv1", "TLSv1.1", "TLSv1.2"],
    does: "Nothing: Node takes no version of TLS before 1.2.",
    refused: by("ssl: { minVersion }"),
  },
  ssl_max_protocol_version: { from: "libpq", refused: by("ssl: { maxVersion }") },
  sslkeylogfile: { from: "libpq", refused: by("ssl and Node's --tls-keylog") },
  service: { from: "libpq", refused: "no pg_service.conf is read: write host, port and database" },
  servicefile: { from: "libpq", refused: "no pg_service.conf is read: write host, port and database" },
  passfile: {
    from: "libpq",
    refused: "no .pgpass is read: give the option password, which may be a function",
  },
  require_auth: { from: "libpq", refused: NOT_CHECKED },
  requirepeer: { from: "libpq", refused: NOT_CHECKED },
  keepalives_interval: { from: "libpq", refused: NO_SOCKET_OPTION },
  keepalives_count: { from: "libpq", refused: NO_SOCKET_OPTION },
  tcp_user_timeout: { from: "libpq", refused: NO_SOCKET_OPTION },
  krbsrvname: { from: "libpq", refused: NO_KERBEROS },
  gsslib: { from: "libpq", refused: NO_KERBEROS },
  gssdelegation: { from: "libpq", refused: NO_KERBEROS },
  replication: { from: "libpq", refused: "a store has no use for it: leave it out" },
  max_lifetime: { from: "postgres.js", refused: by("maxUses or idleTimeoutMillis") },
  socket_timeout: { from: "Prisma", refused: by("query_timeout") },
  statement_cache_size: { from: "Prisma", refused: by("prepare: false") },
  single_use_connections: { from: "Prisma", refused: by("maxUses: 1") },
};

/** Why a value of a parameter in {@link URL_PARAMETERS} is refused, and what to do; undefined if it is accepted. */
export function refusalOf(name: string, value: string): string | undefined {
  const { takes, does, refused } = URL_PARAMETERS[name] ?? { does: "" };
  if (does !== undefined && (!takes || takes.includes(value))) return undefined;
  return refused ?? `it takes ${takes?.join(" or ")}`;
}
