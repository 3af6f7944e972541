/** Combines `ssl` with sslrootcert, sslcert and sslkey. No error shows a path or the content of a file. */
import { readFileSync } from "node:fs";
import type { Ssl, SslMode } from "./modes.ts";

export type TlsRequest = {
  /** Undefined: not given. */
  readonly ssl: Ssl | undefined;
  /** Paths; empty: none. */
  readonly sslrootcert: string;
  readonly sslcert: string;
  readonly sslkey: string;
};

export type TlsChoice = {
  readonly ssl: boolean | SslMode;
  /** Options of `tls.connect` in addition to those of the mode. */
  readonly tls: Readonly<Record<string, unknown>> | undefined;
};

/** The value of sslrootcert for the CA certificates that Node trusts. */
const SYSTEM = "system";

const refuse = (option: string, text: string) => new Error(`act-drizzle: option "${option}": ${text}`);

/** Throws an Error that names the option. */
export function chooseTls({ ssl, sslrootcert, sslcert, sslkey }: TlsRequest): TlsChoice {
  const named = sslrootcert !== "" || sslcert !== "" || sslkey !== "";
  // If a file is named but no mode, the certificate has to be verified.
  const mode = modeOf(ssl ?? (named ? "verify-full" : false), sslrootcert);
  if (mode === false || mode === "disable") return { ssl: mode, tls: undefined };
  const own = typeof ssl === "object" ? ssl : undefined;
  if (!named) return { ssl: mode, tls: own };
  if (sslkey !== "" && sslcert === "") throw refuse("sslkey", "give sslcert too");
  if (sslcert !== "" && sslkey === "")
    throw refuse("sslcert", "give sslkey too; the certificate of the server's CA goes into sslrootcert");
  return {
    ssl: mode,
    tls: {
      ...(sslrootcert !== "" && sslrootcert !== SYSTEM && { ca: certificates("sslrootcert", sslrootcert) }),
      ...(sslcert !== "" && { cert: certificates("sslcert", sslcert), key: privateKey(sslkey) }),
      ...own,
    },
  };
}

/** As in libpq, `require` with a CA file means verify-ca, and sslrootcert=system needs verify-full. */
function modeOf(ssl: Ssl, sslrootcert: string): boolean | SslMode {
  if (typeof ssl === "object") return true;
  if (sslrootcert === SYSTEM && !["verify-full", "disable", true, false].includes(ssl))
    throw refuse(
      "sslrootcert",
      "system needs sslmode verify-full, because anybody can get a certificate from such a CA",
    );
  return ssl === "require" && sslrootcert !== "" ? "verify-ca" : ssl;
}

function read(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
    throw refuse(
      option,
      `the file cannot be read${code}: give the path of a PEM file that this process may read`,
    );
  }
}

function certificates(option: string, path: string): string {
  const text = read(option, path);
  if (text.includes("-----BEGIN CERTIFICATE-----") || text.includes("-----BEGIN TRUSTED CERTIFICATE-----"))
    return text;
  throw refuse(option, "the file holds no certificate: give a PEM file");
}

function privateKey(path: string): string {
  const text = read("sslkey", path);
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(text))
    throw refuse("sslkey", "the key is encrypted: give ssl: { cert, key, passphrase } instead");
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return text;
  throw refuse("sslkey", "the file holds no private key: give a PEM file");
}
