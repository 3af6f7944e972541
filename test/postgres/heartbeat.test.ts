/** A listener whose connection went silent without a close: no statement is ever sent on it that would notice. */
import { expect, onTestFinished, test } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { Listener } from "../../src/postgres/listener.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const fixture = useDatabase();
const HEARTBEAT = 100;

/** A listener behind a proxy, and what it was told. */
async function listening() {
  const proxy = await TcpProxy.before(fixture.parts);
  const limits = { connectionTimeoutMillis: 1_000, application_name: fixture.application("heartbeat") };
  const own = { ...fixture.parts, host: "127.0.0.1", port: proxy.port, ...limits };
  const { config, secrets } = resolveOptions(own);
  const told: string[] = [];
  const listener = new Listener({
    config,
    secrets,
    channel: "heartbeat",
    heartbeat: HEARTBEAT,
    onPayload: (payload) => told.push(payload),
    onLost: () => told.push("(lost)"),
    onReconnected: () => told.push("(back)"),
  });
  onTestFinished(() => listener.stop());
  await listener.start();
  const say = (payload: string) => fixture.sql`select pg_notify('heartbeat', ${payload})`;
  const untilReceived = (payload: string) =>
    until(`${payload} is received`, async () => told.includes(payload));
  return { proxy, config, told, listener, say, untilReceived };
}

test("it is given up, and another listens in its place", async () => {
  const { proxy, told, say, untilReceived } = await listening();
  await say("before");
  await untilReceived("before");
  proxy.freeze();
  await untilReceived("(lost)");
  proxy.mode = "forward";
  await untilReceived("(back)");
  await say("after");
  await untilReceived("after");
  expect(told).toEqual(["before", "(lost)", "(back)", "after"]);
});

test("one that answers is kept, however often it is asked, and its session shows LISTEN", async () => {
  const { proxy, config, told, say, untilReceived } = await listening();
  const beats = async () => {
    const [row] = await fixture.sql`
      select query, query_start::text as at from pg_stat_activity
      where application_name = ${config.application_name} and state = 'idle'`;
    return row;
  };
  const first = await beats();
  await until("it was asked some times", async () => {
    const now = await beats();
    return now?.query === 'listen "act_drizzle_alive"' && now.at !== first?.at;
  });
  const second = await beats();
  await until("and again", async () => (await beats())?.at !== second?.at);
  await say("still");
  await untilReceived("still");
  expect(told).toEqual(["still"]);
  expect(proxy.arrivals).toHaveLength(1);
});

test("after its end nothing is asked any more", async () => {
  const { proxy, told, listener } = await listening();
  await listener.stop();
  // What does not happen gives no signal.
  await new Promise((resolve) => setTimeout(resolve, 5 * HEARTBEAT));
  expect(told).toEqual([]);
  expect(proxy.arrivals).toHaveLength(1);
});
