/**
 * The previous release and this one on one table, in processes of their own, under load: the upgrade while the old ones
 * run, both side by side, the way back, and forward again.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { recordOf, VERSION } from "../../src/migrations/record.ts";
import { Ledger } from "../faults/kit/ledger.ts";
import { catalogOf } from "../migrations/catalog.ts";
import { causeOf, MigrationFixture, tablesOf } from "../migrations/fixture.ts";
import type { TableName } from "../order/lock.ts";
import { hasCommit, PREVIOUS_RELEASE, type Release, thisRelease, unpack } from "./release.ts";
import { type Report, Worker } from "./workers.ts";

const known = hasCommit(PREVIOUS_RELEASE);
const titled = (title: string) =>
  known ? title : `${title} [skipped: the previous release is not in the history here]`;
const fixture = new MigrationFixture();
let previous: Release;
let workers = 0;

if (known) {
  beforeAll(() => {
    previous = unpack(PREVIOUS_RELEASE);
  });
  afterAll(() => previous.remove());
}

/** Enough for every kind of call to have been made in each phase. */
const PHASE = 60;

test.skipIf(!known)(titled("upgraded under load, side by side, back, and forward again"), async () => {
  const name = fixture.name();
  const start = (release: string) => Worker.start({ ...name, release, worker: `w${workers++}` });
  const running = new Set<Worker>();
  const join = async (release: string) => {
    const worker = await start(release);
    running.add(worker);
    return worker;
  };
  const reports: Report[] = [];
  const leave = async (...leaving: Worker[]) => {
    for (const worker of leaving) running.delete(worker);
    reports.push(...(await Promise.all(leaving.map((worker) => worker.stop()))));
  };
  /** Each running process goes on. */
  const phase = () => Promise.all([...running].map((worker) => worker.more(PHASE)));
  const comment = async () => {
    const [row] = await fixture.sql`select obj_description(${tablesOf(name).events}::regclass) as comment`;
    return row?.comment;
  };

  const ledger = new Ledger();
  const [first, second] = [await join(previous.url), await join(previous.url)];
  expect(await comment()).toBe("[act-drizzle schema 2]");
  const reader = fixture.store(name);
  let over = false;
  const tail = ledger.tail(reader, () => over);
  await phase();

  // The upgrade, while the old processes run.
  await fixture.seeded(name);
  const record = await comment();
  expect(recordOf(record)).toEqual({ oldest: 2, migrated: VERSION });
  const upgraded = await catalogOf(name);
  await phase();

  // Side by side.
  const third = await join(thisRelease);
  await phase();

  // Back: an old process restarts, the new one leaves.
  await leave(first);
  const fourth = await join(previous.url);
  await phase();
  await leave(third);
  await phase();

  // Forward: new processes take over, the old ones leave.
  await join(thisRelease);
  await join(thisRelease);
  await phase();
  await leave(second, fourth);
  await phase();
  await leave(...running);
  over = true;
  await tail;

  expect(await comment()).toBe(record);
  expect(await catalogOf(name)).toEqual(upgraded);
  await expectNothingLost(ledger, reports, name);
});

test.skipIf(!known)(
  titled("a release refuses tables on which it can't work, and its processes end"),
  async () => {
    const name = fixture.name();
    await fixture.seeded(name);
    await fixture.sql.unsafe(
      `comment on table ${tablesOf(name).events} is '[act-drizzle schema 98] [act-drizzle migrated 99]'`,
    );
    const start = Worker.start({ ...name, release: previous.url, worker: "refused" });
    await expect(start).rejects.toThrow(
      /was made by a newer act-drizzle \(schema 98, this release knows 2\)/,
    );
    expect(await causeOf(fixture.store(name).seed())).toMatch(/\(schema 98, this release knows \d\)/);
  },
);

/** Nothing lost, doubled, out of order or handled twice, and no call failed but by a lost race. */
async function expectNothingLost(ledger: Ledger, reports: readonly Report[], name: TableName): Promise<void> {
  expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
  expect([...ledger.codes]).toEqual([]);
  for (const { acknowledged, refused, tail } of reports) {
    for (const [token, entry] of acknowledged) ledger.acknowledged.set(token, { ...entry, at: 0 });
    for (const [token, entry] of refused) ledger.failed.set(token, { ...entry, at: 0 });
    ledger.tails.push(tail);
  }
  const { damage, rows } = await ledger.verify(name.url, name);
  expect(damage).toEqual([]);
  expect(rows).toBe([...ledger.acknowledged.values()].reduce((sum, { size }) => sum + size, 0));
  // Races were lost, else old and new have not met.
  expect(ledger.failed.size).toBeGreaterThan(0);

  const handled = reports.flatMap((report) => report.handled);
  const positions = await fixture.sql<{ stream: string; at: string }[]>`
    select stream, at::text from ${fixture.sql(name.schema)}.${fixture.sql(`${name.table}_streams`)} order by 1`;
  expect(positions).toHaveLength(3);
  for (const { stream, at } of positions) {
    const steps = handled.filter((step) => step.stream === stream).sort((a, b) => a.from - b.from);
    const expected = [-1, ...steps.map(({ to }) => to)];
    expect([...steps.map(({ from }) => from), Number(at)], `${stream} was handled once`).toEqual(expected);
  }
}
