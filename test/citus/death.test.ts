/**
 * A worker dies. `TEST_CITUS_WORKER` is a command that ends one at once, as a crash does, and starts it again: it is called
 * with `crash` or `start`, and the worker's port.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { StoreError } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import { PostgresDatabase, PostgresStore, seedAll } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason, tenantUrl } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const command = process.env.TEST_CITUS_WORKER ?? "";
const missing =
  reason || (command === "" ? "TEST_CITUS_WORKER names no command that ends and starts a worker" : "");
const cluster = new CitusTenants();
const control = (what: "crash" | "start", port: number) => promisify(execFile)(command, [what, String(port)]);

describe.skipIf(missing !== "")(titled("a worker of Citus that dies", missing), () => {
  cluster.open({ alone: true });

  test("takes its tenants with it, and no others; they go on where they were", {
    timeout: 120_000,
  }, async () => {
    const database = new PostgresDatabase({ url: tenantUrl(), max: 8 });
    onTestFinished(() => database.dispose());
    const stores = Array.from({ length: 4 }, () => new PostgresStore({ database, schema: cluster.schema() }));
    await seedAll(stores);
    const ports = await Promise.all(stores.map(async (store) => (await cluster.nodeOf(store)).port));
    const [port = 0] = ports;
    const lost = stores.filter((_, n) => ports[n] === port);
    const others = stores.filter((_, n) => ports[n] !== port);
    expect(others.length).toBeGreaterThan(0);
    const append = (store: PostgresStore) => store.commit("s", [{ name: "A", data: {} }], meta);
    const acknowledged = new Map(stores.map((store) => [store, 0]));
    let done = false;
    onTestFinished(() => {
      done = true;
    });
    const write = async (store: PostgresStore) => {
      while (!done)
        await append(store).then(
          () => void acknowledged.set(store, (acknowledged.get(store) ?? 0) + 1),
          () => {},
        );
    };
    const writing = Promise.all(stores.map(write));
    const progress = (of: readonly PostgresStore[]) => of.map((store) => acknowledged.get(store) ?? 0);
    await eventually(() => progress(stores).every((n) => n > 5), { within: 30_000 });

    await control("crash", port);
    onTestFinished(() => void control("start", port).catch(() => {}));
    const at = progress(others);
    await eventually(() => progress(others).every((n, i) => n > (at[i] ?? 0) + 10), { within: 60_000 });
    for (const store of lost) await expect(append(store)).rejects.toThrow(StoreError);

    await control("start", port);
    const then = progress(lost);
    // What the worker had prepared holds its tenants up until the coordinator decides: else within a minute.
    await eventually(
      async () => {
        await cluster.sql`select recover_prepared_transactions()`;
        return progress(lost).every((n, i) => n > (then[i] ?? 0) + 5);
      },
      { within: 60_000, every: 250 },
    );
    done = true;
    await writing;
    for (const store of stores) {
      const found = await store.query(() => {}, {});
      // An append that failed may have been stored: its worker died before it could tell.
      expect(found).toBeGreaterThanOrEqual(acknowledged.get(store) ?? 0);
    }
  });
});
