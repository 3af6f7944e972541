/** A process whose event loop is busy with its own handlers commits as well: nobody else waits for its handlers. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { useDatabase } from "../../postgres/fixture.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { lookAt, percentile, timedCommits } from "./bystander.ts";
import { Client } from "./clients.ts";

const fixture = useDatabase();
const SOCKETS = 10;
/** Of calculation, for each message on a socket. */
const HANDLER = 25;
/** How much longer a commit may take while two cores are shared by three busy processes. */
const SLACK = 100;

/** Sends back each byte: so all sockets of the other side have something to read whenever it looks. */
async function echo(): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => socket.write(bytes));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Not listening on a port");
  return address.port;
}

test(`${SOCKETS} sockets with handlers of ${HANDLER} ms in one process do not slow down another's commits`, {
  timeout: TIMEOUT,
}, async () => {
  const bystander = await fixture.seeded();
  const { table } = bystander.config;
  const busy = fixture.store({ table, application_name: fixture.application("busy") });
  const client = await Client.start({
    ...fixture.parts,
    table,
    application_name: busy.config.application_name,
  });
  // Long enough for the driver to send what comes before it, and not what comes behind.
  const loop = client.loop(2_000);
  await timedCommits(bystander, 20);
  const calm = percentile(await timedCommits(bystander, 150), 0.99);

  client.tell({ serve: { port: await echo(), sockets: SOCKETS, millis: HANDLER } });
  const end = performance.now() + scale(3_000, 30_000);
  const over = () => performance.now() > end;
  const [took, looks] = await Promise.all([timedCommits(bystander, over), lookAt(fixture.sql, busy, over)]);
  const { called, settled } = await loop.end();
  const p99 = percentile(took, 0.99);
  console.log(
    JSON.stringify({ calm: Math.round(calm), p99: Math.round(p99), commits: took.length, called, ...looks }),
  );
  expect(settled).toEqual({ ok: called });
  expect.soft(looks.idleWithLock).toBe(0);
  expect(p99).toBeLessThan(2 * calm + SLACK);
});
