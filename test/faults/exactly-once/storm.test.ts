/**
 * Four workers, of which everything fails at once: handlers throw at random after they have written, leases run out
 * long before a handler ends, so that holders overlap all the time, and the connections to the read models are ended
 * again and again. A worker whose driver does not survive that is started again.
 */
import { expect, test } from "vitest";
import { useApps } from "../../framework/fixture.ts";
import { scale } from "../kit/scale.ts";
import { Arena } from "./arena.ts";

const fixture = useApps();
const EVENTS = scale(400, 10_000);
const CUTS = scale(20, 300);

test("a database that goes away, handlers that throw and leases that overlap change no sum", {
  timeout: scale(300_000, 3_000_000),
}, async () => {
  const arena = await Arena.open(fixture);
  let done = false;
  const worker = async (driver: "postgres.js" | "node-postgres") => {
    while (!done) {
      const started = arena.start({ driver, leaseMillis: 20, handlerMillis: 60, throwing: 10 });
      const ended = await Promise.race([started.exit(), finished.promise]);
      if (ended === undefined) return started.kill();
      arena.crashes++;
    }
  };
  const finished = Promise.withResolvers<undefined>();
  const workers = (["postgres.js", "node-postgres", "postgres.js", "node-postgres"] as const).map(worker);
  for (let sent = 0; sent < EVENTS; sent += 20) await arena.deposit(20);
  let cuts = 0;
  while (cuts < CUTS) {
    // There is always work, and what is blocked after four failures goes on.
    await arena.deposit(5);
    // Nothing tells when a worker is in the midst of a transaction: they are found by what the server sees.
    const busy = () => arena.store.unblock({}).then(() => arena.inTransaction());
    await expect.poll(busy, { timeout: 60_000, interval: 5 }).toBeGreaterThan(0);
    if ((await arena.endConnections()) > 0) cuts++;
  }
  done = true;
  finished.resolve(undefined);
  await Promise.all(workers);
  await arena.conclude(
    "read models' connections ended, 10 % of handlers throw, leases of 20 ms",
    "4 workers",
    cuts,
  );
});
