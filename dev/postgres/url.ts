import postgres from "postgres";
import type { RunningPostgres, ServerKind } from "./types.ts";

/** Connects once, so that a wrong URL fails here and clearly, and describes the server. */
export async function describeServer(url: string, kind: ServerKind = "url"): Promise<RunningPostgres> {
  const parsed = URL.parse(url);
  // The URL's own error would print it, password and all.
  if (!parsed)
    throw new Error("Not the URL of a server: postgres://user:password@host:port/database is expected");
  const sql = postgres(url, { max: 1, connect_timeout: 15, fetch_types: false, onnotice: () => {} });
  try {
    const [row] = await sql<{ version: string }[]>`select current_setting('server_version') as version`;
    return {
      url,
      host: parsed.hostname,
      port: Number(parsed.port || 5432),
      user: decodeURIComponent(parsed.username),
      password: decodeURIComponent(parsed.password),
      database: decodeURIComponent(parsed.pathname.slice(1)),
      kind,
      // Debian appends its own: "15.14 (Debian 15.14-0+deb12u1)".
      version: row?.version.split(" ")[0] ?? "unknown",
      stop: async () => {},
    };
  } catch (error) {
    // Without the URL, which holds a password.
    throw new Error(`No PostgreSQL at ${parsed.hostname}:${parsed.port || 5432}${parsed.pathname}`, {
      cause: error,
    });
  } finally {
    await sql.end({ timeout: 1 });
  }
}
