/**
 * NOTIFY is a hint: lost, cut off, flooded or badly handled, an app that also polls processes every event, no
 * later than its next look.
 */
import type { Store } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { type Reactor, react, Seen } from "./kit/app.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const fixture = useDatabase();
const POLL = 1_000;
/** What a look itself may take on a busy machine. */
const SLACK = 4_000;
const LIMITS = { max: 5, statement_timeout: 10_000, connectionTimeoutMillis: 5_000 };
const SECONDS = scale(1, 30);
const BURST = scale(1_000, 10_000);
const DEADLINE = 30_000;
let tables = 0;

/** An app that reacts, and a store of another process that commits. */
async function workshop(notify = true, decorate: (store: PostgresStore) => Store = (store) => store) {
  const table = `ear${tables++}`;
  const reading = await fixture.seeded({
    ...LIMITS,
    table,
    application_name: fixture.application(`${table}_r`),
    notify: true,
  });
  const writing = await fixture.seeded({
    ...LIMITS,
    table,
    application_name: fixture.application(`${table}_w`),
    notify,
  });
  const seen = new Seen();
  const reactor: Reactor = react(decorate(reading), seen.note, { poll: POLL });
  onTestFinished(() => reactor.shutdown(5_000));
  return { reading, writing, seen, channel: `act_commit_${reading.config.schema}_${table}` };
}

type Workshop = Awaited<ReturnType<typeof workshop>>;

async function listens({ reading }: Workshop): Promise<number[]> {
  const rows = await fixture.sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where application_name = ${reading.config.application_name} and query ilike 'listen%'`;
  return rows.map(({ pid }) => pid);
}

/** Commits while the fault lasts, waits until all is seen, and judges. */
async function conclude(faultRun: FaultRun, shop: Workshop, load: string, injected: number): Promise<void> {
  const { ledger } = faultRun;
  await until(
    "every event is seen",
    async () => shop.seen.missing(ledger).length === 0,
    scale(30_000, 120_000),
  );
  console.log(`seen ${Math.round(shop.seen.lateness(ledger))} ms late at most, ${shop.seen.again} again`);
  await backToNormal(fixture.url, [shop.reading, shop.writing]);
  await faultRun.conclude(fixture.url, { load, injected });
}

/** Dozens of commits a second, or some large ones, on a dozen streams. */
async function commitFor(
  faultRun: FaultRun,
  { writing }: Workshop,
  size: number,
  before = async () => {},
): Promise<void> {
  const end = performance.now() + SECONDS * 1_000;
  for (let k = 0; performance.now() < end; k++) {
    await before();
    await faultRun.ledger.commit(writing, `s${k % 12}`, undefined, size);
    // At a pace that the app can follow, or its lateness would tell of the load and not of the fault.
    await new Promise((resolve) => setTimeout(resolve, size > 1 ? 300 : 20));
  }
}

test("with every notification lost the app sees every event at its next look", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 6, fault: "every notification lost", deadline: DEADLINE });
  const shop = await workshop(false);
  await commitFor(faultRun, shop, 1);
  await conclude(
    faultRun,
    shop,
    "one writer, an app that polls each second",
    faultRun.ledger.acknowledged.size,
  );
  expect(shop.seen.lateness(faultRun.ledger)).toBeLessThan(POLL + SLACK);
});

test("commits too large for a notification, and foreign ones of 8 KB, are no hindrance", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 6, fault: "notifications of 8 KB", deadline: DEADLINE });
  const shop = await workshop();
  let foreign = 0;
  await commitFor(faultRun, shop, 300, async () => {
    const payload = `{"stream": "s", "events": [], "text": "${"x".repeat(7_950)}${foreign++}"}`.slice(
      0,
      7_999,
    );
    await fixture.sql`select pg_notify(${shop.channel}, ${payload})`;
  });
  await conclude(faultRun, shop, "commits of 300 events", foreign);
  expect(shop.seen.lateness(faultRun.ledger)).toBeLessThan(POLL + SLACK);
});

test("a listener whose connection is killed before every commit costs at most a look", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 6, fault: "LISTEN killed just before a commit", deadline: DEADLINE });
  const shop = await workshop();
  let killed = 0;
  await commitFor(faultRun, shop, 1, async () => {
    for (const pid of await listens(shop)) {
      await fixture.sql`select pg_terminate_backend(${pid})`;
      killed++;
    }
  });
  await conclude(faultRun, shop, "one writer, an app that polls each second", killed);
  expect(shop.seen.lateness(faultRun.ledger)).toBeLessThan(POLL + SLACK);
  // And it listens again.
  await until("the listener is back", async () => (await listens(shop)).length === 1);
});

test(`a burst of ${BURST.toLocaleString("en-US")} notifications beside 10,000 foreign ones loses no event`, {
  timeout: TIMEOUT,
}, async () => {
  const fault = `${BURST.toLocaleString("en-US")} notifications in a burst`;
  const faultRun = new FaultRun({ item: 6, fault, deadline: DEADLINE });
  const shop = await workshop();
  const commits = Array.from({ length: BURST }, (_, k) =>
    faultRun.ledger.commit(shop.writing, `s${k % 100}`),
  );
  await fixture.sql`
    select pg_notify(${shop.channel}, '{"stream": "s", "events": [{"id": ' || n || ', "name": "Foreign"}], "by": "me"}')
    from generate_series(1, 10000) n`;
  await Promise.all(commits);
  await conclude(faultRun, shop, `${BURST} commits at once`, 10_000 + BURST);
});

/** The app's own handler, and one that behaves badly after it or in its place. */
const badly =
  (handle: (own: () => void, k: number) => unknown) =>
  (store: PostgresStore): Store =>
    new Proxy<Store>(store, {
      get(target, property) {
        if (property !== "notify") return Reflect.get(target, property);
        let calls = 0;
        const notify: NonNullable<Store["notify"]> = (own) =>
          store.notify?.((notification) => handle(() => own(notification), calls++)) ?? (() => {});
        return notify;
      },
    });

const handlers = {
  "throws instead of waking the app": () => {
    throw new Error("a handler's own error");
  },
  rejects: async (own: () => void) => {
    own();
    throw new Error("a handler's own error");
  },
  "is busy for 50 ms, and never done": (own: () => void, k: number) => {
    const start = performance.now();
    while (k % 10 === 0 && performance.now() - start < 50);
    own();
    return new Promise(() => {});
  },
};

test.each(Object.entries(handlers))(
  "a handler that %s costs at most a look",
  { timeout: TIMEOUT },
  async (name, handle) => {
    const faultRun = new FaultRun({ item: 6, fault: `notify handler ${name}`, deadline: DEADLINE });
    let calls = 0;
    const shop = await workshop(
      true,
      badly((own, k) => {
        calls = k + 1;
        return handle(own, k);
      }),
    );
    await commitFor(faultRun, shop, 1);
    await conclude(faultRun, shop, "one writer, an app that polls each second", calls);
    expect(shop.seen.lateness(faultRun.ledger)).toBeLessThan(POLL + SLACK);
  },
);
