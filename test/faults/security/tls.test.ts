/** TLS with verification on: who is let through, and who is not. The server's certificate is the only thing changed. */
import { statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type RunningPostgres, startPostgres } from "../../../dev/postgres/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../../../src/index.ts";
import { event, failureOf, meta } from "../../postgres/fixture.ts";
import { connect } from "../../support/database.ts";
import { absent, titled } from "../failover/programs.ts";
import { Authority, openssl, type Signed } from "./certificates.ts";

const reason = absent({ openssl });

describe.skipIf(!openssl)(titled("a server with TLS", reason), () => {
  let server: RunningPostgres;
  let ours: Authority;
  let theirs: Authority;

  beforeAll(async () => {
    server = await startPostgres({ prefer: "embedded", inMemory: true });
    const owner = statSync(server.dataDir ?? ".");
    ours = new Authority("Test CA", owner);
    theirs = new Authority("Another CA", owner);
  });
  afterAll(async () => {
    await server?.stop();
    ours?.remove();
    theirs?.remove();
  });

  /** The server shows this certificate to whoever connects from now on. */
  async function show({ certificate, key }: Signed): Promise<void> {
    const sql = connect(server.url);
    for (const [name, value] of [
      ["ssl_cert_file", certificate],
      ["ssl_key_file", key],
      ["ssl", "on"],
    ])
      await sql.unsafe(`alter system set ${name} = '${value}'`);
    await sql`select pg_reload_conf()`;
    await sql.end();
    await expect
      .poll(async () => {
        const look = connect(server.url, { ssl: { rejectUnauthorized: false } });
        try {
          const [row] =
            await look`select current_setting('ssl_cert_file') as file, ssl from pg_stat_ssl where pid = pg_backend_pid()`;
          return row?.ssl === true && row.file === certificate;
        } catch {
          return false;
        } finally {
          await look.end({ timeout: 1 });
        }
      })
      .toBe(true);
  }

  let tables = 0;
  const storeWith = (options: PostgresStoreOptions) => {
    const store = new PostgresStore({ url: server.url, table: `t${tables++}`, notify: true, ...options });
    onTestFinished(() => store.dispose());
    return store;
  };

  /** Every kind of connection is encrypted: pool, writer and listener. */
  async function works(options: PostgresStoreOptions): Promise<void> {
    const application_name = `tls${tables}`;
    const store = storeWith({ ...options, application_name });
    await store.seed();
    const stop = await store.notify?.(() => {});
    await store.commit("s", [event()], meta);
    expect(await store.query(() => {})).toBe(1);
    const sql = connect(server.url);
    const rows =
      await sql`select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = ${application_name}`;
    await sql.end();
    expect(rows.length).toBeGreaterThan(2);
    expect(rows.every(({ ssl }) => ssl === true)).toBe(true);
    await stop?.();
  }

  /** Each kind of connection on its own is refused; nothing is sent to the impostor. */
  async function refused(options: PostgresStoreOptions, said: RegExp): Promise<void> {
    const store = storeWith(options);
    const calls = {
      seed: () => store.seed(),
      commit: () => store.commit("s", [event()], meta),
      notify: async () => store.notify?.(() => {}),
    };
    for (const [operation, call] of Object.entries(calls)) {
      const { error, millis } = await failureOf(call());
      expect(error, operation).toMatchObject({ name: "ERR_STORE", operation });
      expect(String((error as Error).cause), operation).toMatch(said);
      expect(String((error as Error).cause), operation).not.toContain(server.password);
      expect(millis, operation).toBeLessThan(5_000);
    }
  }

  const ca = () => ({ ca: ours.pem });

  test("with a certificate of the CA for its name is trusted", async () => {
    await show(ours.sign("DNS:localhost,IP:127.0.0.1"));
    await works({ host: "localhost", ssl: ca() });
    await works({ ssl: "require" });
    await works({ ssl: "prefer" });
  });

  test("with a certificate of another CA is refused", async () => {
    await show(theirs.sign("DNS:localhost"));
    await refused({ host: "localhost", ssl: ca() }, /certificate|signature/i);
    await works({ host: "localhost", ssl: { ca: theirs.pem } });
  });

  test("whose CA nobody has named is refused by verify-full, verify-ca and true", async () => {
    await show(ours.sign("DNS:localhost"));
    for (const ssl of [true, "verify-full", "verify-ca"] as const)
      await refused({ host: "localhost", ssl }, /certificate|signature/i);
    const url = new URL(server.url);
    url.hostname = "localhost";
    url.searchParams.set("sslmode", "verify-full");
    await refused({ url: url.href }, /certificate|signature/i);
  });

  test("with a certificate for another name is refused", async () => {
    await show(ours.sign("DNS:db.example"));
    await refused({ host: "localhost", ssl: ca() }, /altname|localhost|host/i);
    // Whoever wants the CA alone to count says so.
    await works({ host: "localhost", ssl: { ...ca(), checkServerIdentity: () => undefined } });
  });

  test("with a certificate that is over is refused", async () => {
    await show(ours.sign("DNS:localhost", -1));
    await refused({ host: "localhost", ssl: ca() }, /expired/i);
  });

  test("of a server that is named by its address is checked against that address", async () => {
    const byAddress = { host: "127.0.0.1", ssl: ca() };
    await show(ours.sign("IP:127.0.0.1"));
    await works(byAddress);
    await show(ours.sign("DNS:localhost"));
    await refused(byAddress, /altname|127/i);
    await works({ ...byAddress, ssl: { ...ca(), host: "localhost" } });
  });
});
