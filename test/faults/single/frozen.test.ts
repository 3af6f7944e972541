/**
 * A process that stands still for longer than any answer may take, while the answers to its commits have long come: it
 * reads them before it gives anything up.
 */
import { expect, test } from "vitest";
import { useScene } from "../../connections/scene.ts";
import { until } from "../../order/fence.ts";
import { Client } from "../hostage/clients.ts";

const scene = useScene();
const STATEMENT_TIMEOUT = 500;
/** Past statement_timeout and the 5 s in which a connection is given up. */
const STANDSTILL = STATEMENT_TIMEOUT + 5_500;
const COMMITS = 3;

/** A store, and a client of the same table in another process, warm. */
async function beside() {
  const store = await scene.seeded();
  const { table } = store.config;
  const client = await Client.start({
    ...scene.parts,
    table,
    application_name: scene.application(`${table}_client`),
    statement_timeout: STATEMENT_TIMEOUT,
  });
  await client.commit({ calls: 1 });
  return { store, client };
}

const STANDSTILLS: readonly { readonly what: string; stop(client: Client): Promise<void> }[] = [
  { what: "the event loop was blocked", stop: (client) => client.block(STANDSTILL) },
  { what: "the process was stopped", stop: async (client) => client.signal("SIGSTOP") },
];

test.each(STANDSTILLS)("commits whose answers came while $what are acknowledged", async ({ stop }) => {
  const { store, client } = await beside();
  const lock = await scene.hold(store);
  const committing = client.commit({ calls: COMMITS });
  await until("they wait for the lock", async () => (await scene.lockWaiters()).length > 0);
  await stop(client);
  await lock.release();
  await until("they are in the log", async () => (await scene.rows(store)).length === 1 + COMMITS);
  // The fault itself.
  await new Promise((resolve) => setTimeout(resolve, STANDSTILL));
  client.signal("SIGCONT");
  expect((await committing).settled).toEqual({ ok: COMMITS });
});
