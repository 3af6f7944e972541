/** Databases that the published act-pg 0.4.6 has written. */
import { randomUUID } from "node:crypto";
import type { Committed, Schemas, StreamPosition } from "@rotorsoft/act";
import { expect, type TestContext, test, vi } from "vitest";
import type { TableName } from "../order/lock.ts";
import { type OldLease, type OldStore, openOld } from "./act-pg-046.ts";
import { filesOf } from "./files.ts";
import { MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";
import { runbookSql } from "./runbook.ts";

// The first test may have to install it.
vi.setConfig({ testTimeout: 150_000 });

const fixture = new MigrationFixture();
type Event = Committed<Schemas, string>;

const lease = (stream: string, by: string, at = 0): OldLease => ({ stream, by, at, retry: 0, block: false });

async function readOld(store: OldStore): Promise<Event[]> {
  const events: Event[] = [];
  await store.query((event) => events.push(event));
  return events;
}

/** 200 events of 20 streams, and subscriptions that are done, behind, failing, blocked and being worked on. */
async function writeHistory(old: OldStore): Promise<void> {
  await old.seed();
  for (let k = 0; k < 100; k++) {
    const data = {
      k,
      text: "Größe \u{1F680} '\"\\",
      at: new Date(1.7e12 + k),
      nested: [{ deep: [k, null] }],
    };
    const name = k % 25 === 24 ? "__snapshot__" : "Happened";
    const correlated = {
      correlation: `c-${k}`,
      causation: { action: { name: "do", stream: "s", actor: { id: "1", name: "A" } } },
    };
    await old.commit(
      `s-${k % 20}`,
      [
        { name, data },
        { name: "Followed", data: {} },
      ],
      correlated,
    );
  }
  const by = randomUUID();
  const streams = ["done", "behind", "failing", "blocked", "working"];
  await old.lease(streams.map((stream) => lease(stream, by)));
  await old.ack([
    { ...lease("done", by, 200) },
    { ...lease("behind", by, 50) },
    { ...lease("failing", by, 60), retry: 2 },
    { ...lease("blocked", by, 70), retry: 4, block: true },
  ]);
}

/** Written by 0.4.6 and taken over. */
async function takenOver(
  context: TestContext,
  table = fixture.name().table,
): Promise<{ name: TableName; old: OldStore }> {
  const name = { ...fixture.name(), table };
  const old = await openOld(name, context);
  await writeHistory(old);
  await fixture.seeded(name);
  return { name, old };
}

test("every event, watermark, block and running lease is kept, and nothing is rewritten", async (context) => {
  const name = fixture.name();
  const { events, streams } = tablesOf(name);
  const old = await openOld(name, context);
  await writeHistory(old);
  const history = await readOld(old);
  expect(history).toHaveLength(200);
  const files = await filesOf(fixture.sql, name);
  const subscriptions = await fixture.sql.unsafe(
    `select stream, at, blocked, leased_by::text, leased_until from ${streams} order by 1`,
  );
  expect(subscriptions).toHaveLength(5);

  const lines = recordLog("info");
  const store = await fixture.seeded(name, { dates: "revive" });
  const found: Event[] = [];
  await store.query<Schemas>((event) => found.push(event));
  const plain = ({ id, stream, version, name, created, data, meta }: Event) => ({
    id,
    stream,
    version,
    name,
    created,
    data,
    meta,
  });
  expect(found.map(plain)).toEqual(history.map(plain));
  expect(
    await fixture.sql.unsafe(
      `select stream, at, blocked, leased_by, leased_until from ${streams} order by 1`,
    ),
  ).toEqual(subscriptions);
  const after = await filesOf(fixture.sql, name);
  for (const [relation, file] of Object.entries(files))
    if (!relation.startsWith("_streams")) expect([relation, after[relation]]).toEqual([relation, file]);
  const [id] =
    await fixture.sql`select format_type(atttypid, null) as type from pg_attribute where attrelid = ${events}::regclass and attname = 'id'`;
  expect(id?.type).toBe("integer");

  expect(lines).toHaveLength(1);
  for (const said of [
    `"${name.table}"."stream" character varying(100) -> text`,
    `"${name.table}_streams"."retry" smallint -> integer`,
    `"${name.table}_streams"."leased_by" uuid -> text`,
    "5 subscriptions without a mark marked up to event 200",
    `table "${name.table}_correlated" created`,
    `column "${name.table}"."dates" added`,
    `column "${name.table}"."token" added`,
  ])
    expect(lines[0]).toContain(said);
});

test("subscriptions go on where they stood, with the attempts they have left", async (context) => {
  const { name } = await takenOver(context);
  const store = fixture.store(name);
  const positions: StreamPosition[] = [];
  await store.query_streams((position) => positions.push(position));
  expect(
    positions.map(({ stream, at, retry, blocked, correlated_at }) => [
      stream,
      at,
      retry,
      blocked,
      correlated_at,
    ]),
  ).toEqual([
    ["behind", 50, -1, false, 200],
    ["blocked", 70, 3, true, 200],
    ["done", 200, -1, false, 200],
    ["failing", 60, 1, false, 200],
    ["working", -1, -1, false, 200],
  ]);
  const leases = await store.claim(10, 0, "any text", 60_000);
  expect(leases.map(({ stream, at, retry }) => [stream, at, retry])).toEqual([
    ["behind", 50, 0],
    ["failing", 60, 2],
  ]);
  expect(await store.ack(leases.map((granted) => ({ ...granted, at: 200 })))).toHaveLength(2);
  expect(await store.unblock({})).toBe(1);
  const [{ id, version } = { id: 0, version: 0 }] = await store.commit(
    "s-0",
    [{ name: "L".repeat(150), data: {} }],
    meta,
  );
  expect([id, version]).toEqual([201, 10]);
});

test("0.4.6 still boots, commits, queries and fetches", async (context) => {
  const { name, old } = await takenOver(context);
  const store = fixture.store(name);
  await old.seed();
  const [theirs] = await old.commit("s-0", [{ name: "Theirs", data: { at: new Date(0) } }], meta, 9);
  expect(theirs).toMatchObject({ id: 201, version: 10 });
  const [ours] = await store.commit("s-0", [{ name: "Ours", data: { at: new Date(0) } }], meta, 10);
  expect(ours).toMatchObject({ id: 202, version: 11 });
  await expect(old.commit("s-0", [{ name: "Late", data: {} }], meta, 10)).rejects.toMatchObject({
    lastVersion: 11,
  });

  // Ids are still int4: numbers to node-postgres, where int8 would be strings.
  expect((await readOld(old)).slice(-2)).toMatchObject([
    { id: 201, name: "Theirs", data: { at: new Date(0) } },
    { id: 202, name: "Ours", data: { at: new Date(0) } },
  ]);
  expect(await old.query(() => {}, { stream: "s-0", after: 190 })).toBe(2);
  expect((await old.fetch(10)).events.length).toBe(10);
  const stored: string[] = [];
  await store.query<Schemas>((event) => stored.push(event.name), { after: 200 });
  expect(stored).toEqual(["Theirs", "Ours"]);
});

test("0.4.6 still leases, but its ack no longer lands: it compares text with uuid, and hides the error", async (context) => {
  const { name, old } = await takenOver(context);
  const store = fixture.store(name);
  const by = randomUUID();
  expect(await old.lease([lease("behind", by, 200)])).toMatchObject([{ stream: "behind", at: 200 }]);
  expect((await store.claim(10, 0, "w", 60_000)).map(({ stream }) => stream)).toEqual(["failing"]);

  await old.ack([lease("behind", by, 200)]);
  const positions: StreamPosition[] = [];
  await store.query_streams((position) => positions.push(position), { stream: "behind", stream_exact: true });
  expect(positions).toMatchObject([{ at: 50, leased_by: by }]);
});

test("the way back: with leases as uuids again 0.4.6 works as before, and can be taken over again", async (context) => {
  const { name, old } = await takenOver(context, "events");
  const { streams } = tablesOf(name);
  for (const statement of runbookSql("Back").flat()) await fixture.sql.unsafe(statement);
  const by = randomUUID();
  await old.lease([lease("behind", by, 200), lease("new", by, 200)]);
  await old.ack([lease("behind", by, 200), lease("new", by, 201)]);
  const rows = () =>
    fixture.sql.unsafe(
      `select stream, at, retry, leased_by from ${streams} where stream in ('behind', 'new', 'failing') order by 1`,
    );
  expect(await rows()).toEqual([
    { stream: "behind", at: 200, retry: 0, leased_by: null },
    { stream: "failing", at: 60, retry: 2, leased_by: null },
    { stream: "new", at: 201, retry: 0, leased_by: null },
  ]);

  const store = await fixture.seeded(name);
  expect(await rows()).toEqual([
    { stream: "behind", at: 200, retry: -1, leased_by: null },
    { stream: "failing", at: 60, retry: 1, leased_by: null },
    { stream: "new", at: 201, retry: -1, leased_by: null },
  ]);
  expect((await store.query_streams(() => {})).count).toBe(6);
});
