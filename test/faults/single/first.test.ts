/** The first commit after a pause, when the connection had been idle for so long that it was closed. */
import { expect, onTestFinished, test } from "vitest";
import { latencyProxy } from "../../../bench/lib/latency-proxy.ts";
import { until } from "../../order/fence.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";

const fixture = useDatabase();
const RTT = 40;
/** Three of them PostgreSQL needs to know who is there (SCRAM). */
const MOST = 6;

test.each([
  ["", {}],
  [", with max: 1", { max: 1 }],
])(
  `after an idle connection was closed the first commit takes ${MOST} round trips at most%s`,
  async (_, options) => {
    const proxy = await latencyProxy(fixture.url, RTT);
    onTestFinished(() => proxy.close());
    const port = Number(new URL(proxy.url).port);
    const { table } = (await fixture.seeded()).config;
    const application_name = fixture.application(`${table}_far`);
    const way = { host: "127.0.0.1", port, table, application_name };
    const store = fixture.store({ ...options, ...way, idleTimeoutMillis: 100 });
    await store.commit("s", [event()], meta);
    await until("its connections are closed", async () => (await fixture.pids(store)).length === 0);
    proxy.take();
    const start = performance.now();
    await store.commit("s", [event()], meta);
    const [millis, trips] = [Math.round(performance.now() - start), proxy.take()];
    console.log(`${trips} round trips, ${millis} ms`);
    expect(trips).toBeLessThanOrEqual(MOST);
  },
);
