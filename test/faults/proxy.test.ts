/**
 * A bad network between the stores and the server: slow, half-open, torn apart in the middle of a message, one
 * byte at a time, and the worst of all for a commit, an answer to COMMIT that never arrives.
 */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { type Shape, TcpProxy } from "../postgres/proxy.ts";
import { load, loadOf } from "./kit/clients.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { LONG, scale, TIMEOUT } from "./kit/scale.ts";
import { bytewise, latency, type Struck, swallowedAppend, swallowedCommit, tornApart } from "./kit/shapes.ts";

const fixture = useDatabase();
const LIMITS = { max: 5, statement_timeout: 1_000, connectionTimeoutMillis: 1_000 };
/** A silent connection is given up 5 s after statement_timeout, and what it carried is looked for on others. */
const DEADLINE = 30_000;
let tables = 0;

/** Two stores on one table, each behind a proxy of its own. */
async function behindProxies() {
  const table = `wire${tables++}`;
  const proxies = [await TcpProxy.before(fixture.parts), await TcpProxy.before(fixture.parts)];
  const stores: PostgresStore[] = [];
  for (const [k, { port }] of proxies.entries()) {
    const application_name = fixture.application(`${table}_${k}`);
    const options = { ...LIMITS, host: "127.0.0.1", port, table, application_name };
    stores.push(await fixture.seeded(options));
  }
  const shape = (of: Shape | undefined) => {
    for (const proxy of proxies) proxy.shape = of;
  };
  return { stores, proxies, shape };
}

type Network = {
  readonly fault: string;
  readonly seconds: number;
  readonly least: number;
  readonly of: (struck: Struck) => Shape;
  /** Certain from the log in every case: nobody is told that the outcome is unknown. */
  readonly certain?: boolean;
  /** Waits for the limits of silent connections. */
  readonly slow?: boolean;
};

const NETWORKS: readonly Network[] = [
  {
    fault: "20–120 ms each way, by chance",
    seconds: scale(1, 30),
    least: 100,
    of: (s) => latency(20, 120, s),
  },
  { fault: "one byte at a time", seconds: scale(1, 30), least: 10_000, of: bytewise },
  {
    fault: "reset in the middle of a message",
    seconds: scale(1, 30),
    least: 10,
    of: (s) => tornApart(0.02, s),
  },
  {
    fault: "end of the answer to an append swallowed, then closed",
    seconds: scale(1, 30),
    least: 3,
    of: (s) => swallowedCommit(0.1, "cut", s),
    certain: true,
  },
  {
    fault: "all answers to an append swallowed, then closed",
    seconds: scale(1, 30),
    least: 3,
    of: (s) => swallowedAppend(0.1, "cut", s),
    certain: true,
  },
  {
    fault: "end of the answer to an append swallowed, then silence",
    seconds: scale(1, 60),
    least: 1,
    of: (s) => swallowedCommit(0.05, "silence", s),
    certain: true,
    slow: true,
  },
  {
    fault: "all answers to an append swallowed, then silence",
    seconds: scale(1, 60),
    least: 1,
    of: (s) => swallowedAppend(0.05, "silence", s),
    certain: true,
  },
];

for (const network of NETWORKS) {
  const skipped = network.slow && !LONG;
  const name = `${network.fault}: nothing is lost or applied twice`;
  test.skipIf(skipped)(
    `${name}${skipped ? " (takes long: npm run faults)" : ""}`,
    { timeout: TIMEOUT },
    async () => {
      const faultRun = new FaultRun({ item: 4, fault: network.fault, deadline: DEADLINE });
      const { ledger } = faultRun;
      const { stores, shape } = await behindProxies();
      const struck = { count: 0 };
      shape(network.of(struck));
      const end = performance.now() + network.seconds * 1_000;
      const over = () => performance.now() > end && struck.count >= network.least;
      await load(ledger, stores, over);

      shape(undefined);
      await backToNormal(fixture.url, stores);
      await faultRun.conclude(fixture.url, { load: loadOf(stores), injected: struck.count });
      if (network.certain) expect(ledger.unknown.size).toBe(0);
    },
  );
}

// In short, for one call of each kind, in test/postgres/hosts.test.ts.
const halfOpen = "a network that is half-open for a while costs the calls of that time, and no other";
test.skipIf(!LONG)(
  `${halfOpen}${LONG ? "" : " (takes long: npm run faults)"}`,
  { timeout: TIMEOUT },
  async () => {
    const seconds = 60;
    const faultRun = new FaultRun({ item: 4, fault: `half-open for ${seconds} s`, deadline: DEADLINE });
    const { ledger } = faultRun;
    const { stores, proxies } = await behindProxies();
    let done = false;
    const loading = load(ledger, stores, () => done);
    const goesOn = async () => {
      const before = ledger.acknowledged.size;
      await until("the load goes on", async () => ledger.acknowledged.size > before + 20, 30_000);
    };
    await goesOn();
    for (const proxy of proxies) proxy.freeze();
    // As long as the fault lasts.
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    for (const proxy of proxies) proxy.mode = "forward";
    const back = performance.now();
    await goesOn();
    const recovery = performance.now() - back;
    done = true;
    await loading;

    await backToNormal(fixture.url, stores);
    await faultRun.conclude(fixture.url, { load: loadOf(stores), injected: proxies.length });
    // What was sent into the silence last is given up first.
    expect(recovery).toBeLessThan(LIMITS.statement_timeout + 5_000 + 5_000);
  },
);
