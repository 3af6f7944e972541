/**
 * PostgreSQL's queue of notifications is full, because one session that listens stays in its transaction: what is
 * committed is committed all the same, only not announced.
 */
import { log } from "@rotorsoft/act";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { type RunningPostgres, startPostgres } from "../../../dev/postgres/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { openTransaction } from "../../order/fence.ts";
import { DatabaseFixture, event, meta } from "../../postgres/fixture.ts";
import { connect } from "../../support/database.ts";
import { titled } from "../failover/programs.ts";

/** The least that PostgreSQL 17 and later allow; before it is a gigabyte or more, and can't be set. */
const settings = { max_notify_queue_pages: "64" };
const COMMITS = 20;

const fixture = new DatabaseFixture();
const started: RunningPostgres | string = await startPostgres({ prefer: "embedded", settings }).catch(
  reasonOf,
);
const reason = typeof started === "string" ? started : "";

/** Why the server did not start; whatever else than an old version it may be is a failure. */
function reasonOf(error: Error): string {
  if (error.message.includes("max_notify_queue_pages"))
    return "PostgreSQL before 17 has no max_notify_queue_pages";
  throw error;
}

beforeAll(async () => {
  if (typeof started !== "string") await fixture.open(started.url);
});
afterAll(async () => {
  if (typeof started === "string") return;
  await fixture.close();
  await started.stop();
});

/** Fills the queue; it empties when the session that listens may go on. */
async function fillQueue(): Promise<{ empty(): Promise<void> }> {
  const listener = await openTransaction(fixture.url);
  // LISTEN counts from its COMMIT.
  await listener.sql.unsafe("listen filled; commit; begin; select 1");
  const talker = connect(fixture.url);
  const text = "x".repeat(7_000);
  let full = false;
  while (!full)
    full = await talker`select pg_notify('filled', ${text})`.then(
      () => false,
      (error: { code?: string }) => {
        if (error.code !== "54000") throw error;
        return true;
      },
    );
  await talker.end();
  let filled = true;
  const empty = async () => {
    if (!filled) return;
    filled = false;
    await listener.rollback();
  };
  onTestFinished(async () => {
    await empty();
    // The next test begins with an empty one.
    await fixture.sql`select pg_notification_queue_usage()`;
  });
  return { empty };
}

/** What the store writes into Act's log, at whatever level. */
function logged(): string[] {
  const lines: string[] = [];
  const logger = log();
  for (const level of ["warn", "error"] as const) {
    const spy = vi.spyOn(logger, level).mockImplementation((...args: unknown[]) => {
      lines.push(args.map(String).join(" "));
    });
    onTestFinished(() => spy.mockRestore());
  }
  return lines;
}

/** A store that announces, and what another one hears. */
async function announcing() {
  const store = await fixture.seeded({ notify: true });
  const listener = fixture.store({ notify: true, table: store.config.table });
  const received: string[] = [];
  const stop = await listener.notify?.(({ stream }) => received.push(stream));
  onTestFinished(async () => void (await stop?.()));
  return { store, received };
}

const test17 = test.skipIf(reason !== "");

test17(
  titled("commits succeed while the notification queue is full, alone and in groups", reason),
  async () => {
    const { store } = await announcing();
    logged();
    const { empty } = await fillQueue();
    for (let n = 0; n < COMMITS; n++) expect(await store.commit("alone", [event()], meta)).toHaveLength(1);
    const together = Array.from({ length: COMMITS }, (_, n) => store.commit(`s${n}`, [event()], meta));
    expect((await Promise.allSettled(together)).filter(({ status }) => status === "rejected")).toEqual([]);
    await empty();
    expect(await fixture.rows(store)).toHaveLength(2 * COMMITS);
  },
);

test17(titled("operators' verbs succeed while the notification queue is full", reason), async () => {
  const { store } = await announcing();
  await store.subscribe([{ stream: "t", correlated_at: 1 }], 1);
  await fillQueue();
  expect(await store.prioritize({}, 3)).toBe(1);
  expect(await store.defer(["t"], 0)).toBe(1);
  expect(await store.reset(["t"])).toBe(1);
  expect(await store.subscribe([{ stream: "u", correlated_at: 1 }])).toMatchObject({ subscribed: 1 });
  expect(await store.claim(5, 0, "w", 1_000)).toHaveLength(2);
});

test17(titled("one warning says that commits are not announced, not one for each", reason), async () => {
  const { store } = await announcing();
  const lines = logged();
  await fillQueue();
  for (let n = 0; n < COMMITS; n++) await store.commit("s", [event()], meta).catch(() => {});
  expect(lines).toEqual([expect.stringMatching(/notif/i)]);
});

/**
 * Since PostgreSQL 13 only a NOTIFY that succeeds, or a question for the usage of the queue, moves its end behind what
 * everybody has read: a queue that was full stays so, until somebody asks.
 */
test17(titled("commits are announced again once everybody has read the notifications", reason), async () => {
  const { store, received } = await announcing();
  logged();
  const { empty } = await fillQueue();
  for (let n = 0; n < COMMITS; n++) await store.commit("before", [event()], meta).catch(() => {});
  await empty();
  await eventually(async () => {
    await store.commit("after", [event()], meta);
    return received.includes("after");
  });
});
