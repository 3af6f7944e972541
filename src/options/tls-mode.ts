/** Rules about modes of TLS that several sources of options share. */
import type { SslMode } from "./modes.ts";
import type { Values } from "./sources.ts";

export const isOff = (ssl: unknown): boolean => ssl === false || ssl === "disable";

/**
 * The mode for `channel_binding=require`. The driver cannot bind channels, so the server's certificate is verified instead.
 * Undefined if the given mode forbids that. `ca`: sslrootcert is given.
 */
export function bindChannel<Mode>(mode: Mode, ca: boolean): Mode | SslMode | undefined {
  if (isOff(mode) || mode === "no-verify") return undefined;
  if (typeof mode === "object" || mode === true) return mode;
  return mode === "verify-ca" || (mode === "require" && ca) ? "verify-ca" : "verify-full";
}

/** Modes of TLS that do not verify the server; `require` verifies it if sslrootcert is given. */
const UNVERIFIED = new Set<unknown>([false, "disable", "allow", "prefer", "require", "no-verify"]);
const TLS_FILES = ["sslrootcert", "sslcert", "sslkey"];

/**
 * The values of two sources; those of the stronger one win. `weakest` are values of a third source, which wins over neither.
 *
 * If the stronger source names a file for TLS but no mode, and the mode of the others would not verify the server, the mode
 * is verify-full: a variable such as PGSSLMODE=prefer may be meant for another program. `require` stays if sslrootcert is
 * given, because it is verify-ca then.
 */
export function override(weaker: Values, stronger: Values, weakest: Values = {}): Values {
  const { ssl, sslrootcert }: Values = { ...weakest, ...weaker, ...stronger };
  const verified = !UNVERIFIED.has(ssl) || (ssl === "require" && Boolean(sslrootcert));
  const asksToVerify = stronger.ssl === undefined && TLS_FILES.some((name) => stronger[name]);
  return { ...weaker, ...(asksToVerify && !verified && { ssl: "verify-full" }), ...stronger };
}
