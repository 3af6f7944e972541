/** Values that options take by name. Apart from the list, so that the published types need no zod. */

/** The modes of libpq's sslmode. */
export const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
/** A mode of libpq's sslmode: from `disable` (never TLS) to `verify-full` (certificate and host name are checked). */
export type SslMode = (typeof SSL_MODES)[number];

/** TLS by a mode of libpq's sslmode, by `true` (verify-full), or by options of `tls.connect`. */
export type Ssl = boolean | SslMode | Readonly<Record<string, unknown>>;

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
