/**
 * PgBouncer in session mode hands a server process on to its next client, with the same pid and start. A recovery that
 * comes after that must not end another client's work.
 */
import { describe, expect, onTestFinished, test } from "vitest";
import { resolveOptions } from "../../../src/options/resolve.ts";
import { type Backend, StoreConnections } from "../../../src/postgres/index.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { connect, serverUrl } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { LOGIN_SETTINGS, startBouncer } from "./bouncer.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
const fixture = useDatabase();

describe.skipIf(reason !== "")(titled("behind PgBouncer in session mode", reason), () => {
  test("a recovery spares the server process of a lost session that another client has got since", async () => {
    const settings = { pool_mode: "session", ignore_startup_parameters: LOGIN_SETTINGS };
    const bouncer = await startBouncer(serverUrl(), { poolSize: 4, settings });
    onTestFinished(() => bouncer.stop());
    const port = Number(new URL(bouncer.through(fixture.url)).port);
    const pooled = resolveOptions({ ...fixture.parts, host: "127.0.0.1", port });
    const lost = new StoreConnections(pooled);
    let backend: Backend | undefined;
    await lost.writer.use(async (connection) => {
      await connection.establish(0);
      backend = connection.backend;
    });
    await lost.close();
    if (!backend?.mark) throw new Error("no mark");

    // As many clients as there are processes, each on its own: one has got it.
    const clients = [1, 2].map(() => connect(bouncer.through(fixture.url), { max: 1 }));
    onTestFinished(async () => void (await Promise.all(clients.map((client) => client.end()))));
    const pids = await Promise.all(
      clients.map(async (client) => Number((await client`select pg_backend_pid() as pid`)[0]?.pid)),
    );
    const heir = clients[pids.indexOf(backend.pid)];
    if (!heir) throw new Error("nobody has got the process");
    await heir`begin`;

    const later = new StoreConnections(resolveOptions(fixture.parts));
    onTestFinished(() => later.close());
    await later.recover(backend, [{ text: "select 1" }]);
    expect((await heir`select pg_backend_pid() as pid`)[0]?.pid).toBe(backend.pid);
    await heir`rollback`;
  });
});
