/**
 * A process that stands still for longer than any answer may take, while the answers to its commits have long come: it
 * reads them before it gives anything up.
 */
import { expect, test } from "vitest";
import { gate } from "../../conformance/kit/eventually.ts";
import { until } from "../../order/fence.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { Client } from "../hostage/clients.ts";

const fixture = useDatabase();
const STATEMENT_TIMEOUT = 500;
/** Past statement_timeout and the 5 s in which a connection is given up. */
const STANDSTILL = STATEMENT_TIMEOUT + 5_500;
const COMMITS = 3;

/** A client in another process, warm, behind a proxy that can hold back what the server answers. */
async function behindProxy() {
  const store = await fixture.seeded();
  const { table } = store.config;
  const proxy = await TcpProxy.before(fixture.parts);
  const client = await Client.start({
    ...fixture.parts,
    host: "127.0.0.1",
    port: proxy.port,
    table,
    statement_timeout: STATEMENT_TIMEOUT,
  });
  // Warm: so many commits at once take one round trip.
  for (let n = 0; n < 2; n++) await client.commit({ calls: COMMITS });
  const answers = gate();
  proxy.shape = async (bytes, way) => {
    if (way === "down") await answers.passed;
    return { pieces: [bytes] };
  };
  return { store, client, answers };
}

const STANDSTILLS: readonly { readonly what: string; stop(client: Client): Promise<void> }[] = [
  { what: "the event loop was blocked", stop: (client) => client.block(STANDSTILL) },
  { what: "the process was stopped", stop: async (client) => client.signal("SIGSTOP") },
];

test("commits whose answers came while their process stood still are acknowledged", async () => {
  // At once, for each takes its time.
  const told = await Promise.all(
    STANDSTILLS.map(async ({ what, stop }) => {
      const { store, client, answers } = await behindProxy();
      const committing = client.commit({ calls: COMMITS });
      await until("they are in the log", async () => (await fixture.rows(store)).length === 3 * COMMITS);
      await stop(client);
      // No signal tells that a process has stopped.
      await new Promise((resolve) => setTimeout(resolve, 200));
      answers.open();
      // The fault itself.
      await new Promise((resolve) => setTimeout(resolve, STANDSTILL));
      client.signal("SIGCONT");
      return [what, (await committing).settled] as const;
    }),
  );
  const all = { ok: COMMITS };
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(STANDSTILLS.map(({ what }) => [what, all])));
});
