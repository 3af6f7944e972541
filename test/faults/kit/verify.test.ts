/** The ledger itself: each kind of damage, done on purpose behind the store's back, is noticed. */
import type { Lease } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { useDatabase } from "../../postgres/fixture.ts";
import { Ledger } from "./ledger.ts";

const fixture = useDatabase();

/** A ledger with three commits, of one, two and three events, and the table they are in. */
async function kept() {
  const store = await fixture.seeded();
  const ledger = new Ledger();
  for (const size of [1, 2, 3]) expect(await ledger.commit(store, "s", undefined, size)).toBe(true);
  expect(await ledger.commit(store, "s", 0)).toBe(false);
  const { table } = store.config;
  const change = (statement: string) => fixture.sql.unsafe(statement.replaceAll("EVENTS", table));
  const damage = async () => (await ledger.verify(fixture.url)).damage;
  const [one = "", two = "", three = ""] = [...ledger.acknowledged.keys()];
  return { store, ledger, change, damage, tokens: { one, two, three } };
}

test("a log as it should be is no damage, and a conflict counts as failed", async () => {
  const { ledger, damage } = await kept();
  expect(await damage()).toEqual([]);
  expect([ledger.acknowledged.size, ledger.failed.size, ledger.unknown.size]).toEqual([3, 1, 0]);
  expect(ledger.codes.get("ERR_CONCURRENCY")).toBe(1);
});

test("an acknowledged commit that is gone is lost", async () => {
  const { ledger, change, tokens } = await kept();
  await change(`delete from EVENTS where data ->> 'token' = '${tokens.three}'`);
  expect(await ledger.verify(fixture.url)).toMatchObject({ lost: [tokens.three], duplicated: [] });
});

test("a commit that is there twice is a duplicate", async () => {
  const { ledger, change, tokens } = await kept();
  await change(
    `insert into EVENTS (stream, version, name, data, meta)
     select stream, version + 1, name, data, meta from EVENTS order by id desc limit 1`,
  );
  expect(await ledger.verify(fixture.url)).toMatchObject({ lost: [], duplicated: [tokens.three] });
});

test("a stream may begin with the snapshot that it was truncated to, and with nothing else", async () => {
  const { change, damage } = await kept();
  await change(
    `insert into EVENTS (stream, version, name, data, meta) values ('kept', 7, '__snapshot__', '{}', '{}'), ('kept', 8, 'Noted', '{}', '{}')`,
  );
  expect(await damage()).toEqual([]);
  await change(`delete from EVENTS where name = '__snapshot__'`);
  expect(await damage()).toEqual([expect.stringMatching(/^versions: kept: version 8 at id .* follows -1/)]);
});

test("half of a commit is noticed, whatever its caller was told", async () => {
  const { ledger, change, damage, tokens } = await kept();
  await change(`delete from EVENTS where data = '{"token": "${tokens.three}", "part": 2}'`);
  expect(await damage()).toContainEqual(expect.stringMatching(/^half: acknowledged .* 2 of 3/));
  const entry = ledger.acknowledged.get(tokens.three);
  if (!entry) throw new Error("there are three");
  ledger.acknowledged.delete(tokens.three);
  ledger.unknown.set(tokens.three, entry);
  expect(await damage()).toContainEqual(expect.stringMatching(/^half: unknown .* 2 of 3/));
});

test("a commit that failed and is there is noticed", async () => {
  const { ledger, change, damage } = await kept();
  const [failed = ""] = ledger.failed.keys();
  await change(
    `insert into EVENTS (stream, version, name, data, meta)
     values ('s', 6, 'Noted', '{"token": "${failed}", "part": 0}', '{}')`,
  );
  expect(await damage()).toEqual([`present: ${failed}, which failed`]);
});

test("a gap in the versions is noticed", async () => {
  const { change, damage } = await kept();
  await change(`update EVENTS set version = 7 where version = 5`);
  expect(await damage()).toContainEqual(expect.stringMatching(/^versions: s: version 7 .* follows 4/));
});

test("an event at another id than its caller was told is noticed", async () => {
  const { change, damage, tokens } = await kept();
  await change(`update EVENTS set id = 1000 where version = 5`);
  expect(await damage()).toEqual([`misplaced: ${tokens.three} is not where its caller was told`]);
});

test("a watermark or a checkpoint beyond the log is noticed", async () => {
  const { store, ledger, change, damage } = await kept();
  await store.subscribe([{ stream: "t", correlated_at: ledger.head }], ledger.head);
  expect(await damage()).toEqual([]);
  await change(`update EVENTS_streams set at = 999`);
  await change(`update EVENTS_correlated set at = 998`);
  expect(await damage()).toEqual([
    "watermark of t is at 999, beyond the log",
    "checkpoint  is at 998, beyond the log",
  ]);
});

test("two holders of one stream at once are noticed, one after the other are not", async () => {
  const { ledger, damage } = await kept();
  const lease = (by: string): Lease => ({ stream: "t", at: 0, by, retry: 0, lagging: true });
  const claimed = (by: string, millis = 60_000) =>
    ledger.grants.granted([lease(by)], performance.now(), millis);
  claimed("one");
  ledger.grants.returning([lease("one")]);
  claimed("two", 0);
  claimed("three");
  expect(await damage()).toEqual([]);
  claimed("four");
  expect(await damage()).toEqual(["held twice: t: by three and four"]);
});

test("what appeared behind a reader is noticed", async () => {
  const { ledger, damage } = await kept();
  ledger.tails.push([1, 2, 3]);
  expect(await damage()).toEqual([]);
  ledger.tails.push([1, 3]);
  expect(await damage()).toEqual(["order: 2 appeared behind a reader that was at 3"]);
});

test("a call that does not settle, a foreign error and an unhandled rejection are noticed", async () => {
  const { store, damage } = await kept();
  const ledger = new Ledger({ deadline: 20 });
  onTestFinished(ledger.watch());
  const silent = () => new Promise<never>(() => {});
  await ledger.attempt(silent);
  await ledger.through(store.config, "s", 1, silent);
  await ledger.attempt(() => Promise.reject(new TypeError("null.write")));
  expect(await damage()).toEqual([]);
  const { damage: noticed } = await ledger.verify(fixture.url);
  expect(noticed.map((text) => text.split("\n")[0])).toEqual([
    "unexpected: Error: call: not settled within 20 ms",
    "unexpected: Error: commit to s: not settled within 20 ms",
    "unexpected: TypeError: null.write",
  ]);
  expect(ledger.unknown.size).toBe(1);
});

test("an outage lasts from the first call that waits to the next acknowledgement, failures included", async () => {
  const store = await fixture.seeded();
  const ledger = new Ledger();
  const held = await fixture.hold(store);
  const waiting = ledger.commit(store, "s");
  await expect.poll(() => fixture.lockWaiters()).toHaveLength(1);
  const from = performance.now();
  await expect.poll(() => performance.now() - from).toBeGreaterThan(150);
  await held.release();
  await waiting;
  expect(ledger.longestOutageMs).toBeGreaterThan(150);
  expect(ledger.slowestCommit).toBeGreaterThan(150);
});
