/** The order of ids is the order in which readers see events, though events live on a worker and ids on the coordinator. */
import { describe, expect, test } from "vitest";
import { titled } from "../faults/failover/programs.ts";
import { append } from "../order/appenders.ts";
import { tail, throughStore } from "../order/tail.ts";
import { reason, tenantUrl } from "./cluster.ts";
import { CitusTenants } from "./tenants.ts";

const total = Number(process.env.ORDER_EVENTS ?? 3_000);
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const WRITERS = 3;
const cluster = new CitusTenants();

describe.skipIf(reason !== "")(titled("order on Citus", reason), () => {
  cluster.open();

  test(`a reader misses nothing of ${WRITERS} processes that append at once`, {
    timeout: 60_000 + total * 20,
  }, async () => {
    console.log(`order on Citus: ${total} events, SEED=${seed}`);
    const store = await cluster.tenant();
    const { schema, table } = store.config;
    const share = Math.ceil(total / WRITERS);
    const writers = Promise.all(
      Array.from({ length: WRITERS }, (_, writer) =>
        append({
          ...{ url: tenantUrl(), schema, table, kind: "store", writer, seed },
          ...{ events: share, batch: 10, streams: 8, inFlight: 8 },
        }),
      ),
    );
    const tails = await Promise.all([
      tail(throughStore(store), writers, 1_000),
      tail(throughStore(store), writers, 37),
    ]);
    const acknowledged = (await writers).flatMap(({ ids }) => ids).sort((a, b) => a - b);
    expect(acknowledged).toHaveLength(share * WRITERS);
    for (const { ids, pages } of tails) {
      expect(ids).toEqual(acknowledged);
      // Else the readers came when all was over, and nothing was tried.
      expect(pages).toBeGreaterThan(5);
    }
    const versions = new Map<string, number>();
    await store.query(({ stream, version }) => {
      expect(version).toBe((versions.get(stream) ?? -1) + 1);
      versions.set(stream, version);
    });
  });
});
