/** Types of option values. They are not in option-list.ts, so that the published types do not need zod. */

/** The modes of libpq's sslmode, and node-postgres' `no-verify`. */
export const SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
  "no-verify",
] as const;
/** A mode of libpq's sslmode: from `disable` (never TLS) to `verify-full` (certificate and host name are checked). */
export type SslMode = (typeof SSL_MODES)[number];

/** TLS by a mode of libpq's sslmode, by `true` (verify-full), or by options of `tls.connect`. */
export type Ssl = boolean | SslMode | Readonly<Record<string, unknown>>;

/** The password, or a function that each new connection calls for it, for example to get a token of a cloud service. */
export type Password = string | (() => string | Promise<string>);

/** A connection that has just been opened. */
export type NewConnection = {
  /** Runs one statement without parameters, and returns its rows. */
  query(text: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
};

/** Prepares a new connection, before its first use. */
export type OnConnect = (connection: NewConnection) => void | Promise<void>;

/** The values of libpq's target_session_attrs. */
export const TARGET_SESSION_ATTRS = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby",
] as const;
/** Which of several hosts is used, as in libpq's target_session_attrs. `any` is the first that answers. */
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number];
