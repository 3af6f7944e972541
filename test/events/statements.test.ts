/**
 * The statements of an append and of what follows a lost one, run by hand. In the store a group that fails goes
 * again one by one, which would hide a wrong one.
 */
import postgres from "postgres";
import { expect, onTestFinished, test } from "vitest";
import type { Query } from "../../src/connections/index.ts";
import { type Append, appendStatements, readOutcomes } from "../../src/events/append.ts";
import { investigation, readFates } from "../../src/events/recover.ts";
import { type Names, namesOf } from "../../src/names.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { useScene } from "../connections/scene.ts";

const database = useScene();
/** As the store has it: JSON goes out as the text that it is. */
const json = { to: 3802, from: [114, 3802], serialize: String, parse: (text: string) => text };
const open = () => postgres(database.url, { max: 1, onnotice: () => {}, types: { json } });
type Client = ReturnType<typeof open>;

type Heard = { stream: string; by: string; events: unknown[]; from?: number; to?: number };

async function scene() {
  const { config } = await database.seeded();
  const names = namesOf(config.schema, config.table);
  const sql = open();
  onTestFinished(() => sql.end());
  return { names, sql };
}

const run = (sql: Client, { text, params = [] }: Query) => sql.unsafe(text, [...params]);

/** One group, as the queue sends it; the names of the events tell which commit they are of. */
async function send(sql: Client, names: Names, group: readonly Append[], by?: string) {
  const { open, insert, commit } = appendStatements(names, by);
  await sql.unsafe(open.text);
  const [row] = await run(sql, insert(group));
  await sql.unsafe(commit.text);
  return readOutcomes(group, row).outcomes;
}

const append = (stream: string, expected: number | null, ...events: string[]): Append => ({
  stream,
  expected,
  meta: `{"m":"${stream}"}`,
  events: events.map((name) => ({ name, data: `{"of":"${name}"}`, pii: null, dates: "{}" })),
});

const written = async (sql: Client, names: Names) =>
  (
    await sql.unsafe(
      `select id::int, stream, version, name, data ->> 'of' as data, meta ->> 'm' as meta from ${names.events} order by id`,
    )
  ).map((row) => ({ ...row }));

const event = (id: number, stream: string, version: number, name: string) => ({
  id,
  stream,
  version,
  name,
  data: name,
  meta: stream,
});

test("a group on several streams meets their heads, writes what fits them, and leaves the rest", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", -1, "a0", "a1", "a2")]);
  await send(sql, names, [append("b", null, "b0")]);
  const group = [
    append("a", 2, "a3", "a4"),
    append("b", 5, "never"),
    append("c", -1, "c0"),
    append("d", 0, "never"),
    append("e", null, "e0", "e1"),
  ];
  expect(await send(sql, names, group)).toEqual([
    { landed: true, head: 2, ids: [5, 6] },
    { landed: false, head: 0, ids: [] },
    { landed: true, head: -1, ids: [7] },
    { landed: false, head: -1, ids: [] },
    { landed: true, head: -1, ids: [8, 9] },
  ]);
  expect(await written(sql, names)).toEqual([
    event(1, "a", 0, "a0"),
    event(2, "a", 1, "a1"),
    event(3, "a", 2, "a2"),
    event(4, "b", 0, "b0"),
    event(5, "a", 3, "a3"),
    event(6, "a", 4, "a4"),
    event(7, "c", 0, "c0"),
    event(8, "e", 0, "e0"),
    event(9, "e", 1, "e1"),
  ]);
});

test("commits to one stream in a group see one another, and only what landed", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", -1, "a0")]);
  await send(sql, names, [append("b", -1, "b0", "b1")]);
  const group = [
    append("a", 0, "a1", "a2"),
    append("b", 1, "b2"),
    append("a", 0, "never"),
    append("a", 2, "a3"),
    append("b", null, "b3", "b4"),
    append("a", null, "a4"),
    append("c", null, "c0"),
    append("c", -1, "never"),
    append("c", 0, "c1"),
    append("b", 2, "never"),
  ];
  expect(await send(sql, names, group)).toEqual([
    { landed: true, head: 0, ids: [4, 5] },
    { landed: true, head: 1, ids: [6] },
    { landed: false, head: 2, ids: [] },
    { landed: true, head: 2, ids: [7] },
    { landed: true, head: 2, ids: [8, 9] },
    { landed: true, head: 3, ids: [10] },
    { landed: true, head: -1, ids: [11] },
    { landed: false, head: 0, ids: [] },
    { landed: true, head: 0, ids: [12] },
    { landed: false, head: 4, ids: [] },
  ]);
  expect((await written(sql, names)).map(({ name }) => name)).toEqual(
    "a0 b0 b1 a1 a2 b2 a3 b3 b4 a4 c0 c1".split(" "),
  );
});

test("a group that is refused as a whole writes nothing", async () => {
  const { names, sql } = await scene();
  for (const group of [[append("a", 4, "x")], [append("a", 4, "x"), append("b", 0, "y")]])
    expect((await send(sql, names, group)).map(({ landed }) => landed)).not.toContain(true);
  expect(await written(sql, names)).toEqual([]);
});

test("each event keeps its own pii and the note of its dates, alone and in a group", async () => {
  const { names, sql } = await scene();
  const dated = (stream: string, ...notes: (string | null)[]): Append => ({
    ...append(stream, null),
    events: notes.map((note) => ({
      name: "A",
      data: "{}",
      pii: note === null ? null : `{"p":"${note}"}`,
      dates: `{"data":[["${note}"]]}`,
    })),
  });
  await send(sql, names, [dated("a", "one", null, "two")]);
  await send(sql, names, [dated("b", null, "three"), dated("c", "four")]);
  await send(sql, names, [dated("d", "five"), dated("d", null), dated("d", "six")]);
  const rows = await sql.unsafe(
    `select pii ->> 'p' as pii, dates #>> '{data,0,0}' as note from ${names.events} order by id`,
  );
  const kept = rows.map(({ pii, note }) => [pii, note]);
  const notes = ["one", null, "two", null, "three", "four", "five", null, "six"];
  expect(kept).toEqual(notes.map((note) => [note, String(note)]));
});

test("each commit that landed is announced by itself, whole or as a range of ids", async () => {
  const { names, sql } = await scene();
  const heard: Heard[] = [];
  const ear = open();
  onTestFinished(() => ear.end());
  await ear.listen(names.channel, (payload) => void heard.push(JSON.parse(payload)));
  await send(sql, names, [append("one", null, "A", "B")], "me");
  const long = "n".repeat(3_000);
  const group = [
    append("two", null, "A", "B"),
    append("two", 7, "never"),
    append("two", null, "C"),
    append("big", null, long, long, long),
    append("two", 2, "D"),
  ];
  await send(sql, names, group, "me");
  await send(sql, names, [append("s".repeat(7_970), null, "A")], "me").catch(() => sql.unsafe("rollback"));
  await send(sql, names, [append("x", null, "A"), append("y", null, "B")], "me");
  await eventually(() => heard.some(({ stream }) => stream === "y"));
  const of = (stream: string, ...events: [number, string][]) => ({
    stream,
    by: "me",
    events: events.map(([id, name]) => ({ id, name })),
  });
  expect(heard).toEqual([
    of("one", [1, "A"], [2, "B"]),
    of("two", [3, "A"], [4, "B"]),
    of("two", [5, "C"]),
    { stream: "big", by: "me", events: [], from: 6, to: 8 },
    of("two", [9, "D"]),
    of("x", [expect.any(Number), "A"] as never),
    of("y", [expect.any(Number), "B"] as never),
  ]);
});

test("what is too long for a notification by one byte is not sent, and lands", async () => {
  const { names, sql } = await scene();
  const heard: number[] = [];
  const ear = open();
  onTestFinished(() => ear.end());
  await ear.listen(names.channel, (payload) => void heard.push(Buffer.byteLength(payload)));
  // A stream's name may be so long only if it compresses; then the range of ids alone is near the limit.
  for (let length = 7_900; length < 7_960; length++) {
    const [outcome] = await send(sql, names, [append("s".repeat(length), null, "A")], "me");
    expect(outcome?.landed).toBe(true);
  }
  await send(sql, names, [append("end", null, "A")], "me");
  await eventually(() => heard.some((size) => size < 100));
  expect(Math.max(...heard)).toBe(7_999);
});

/** What the log says of a group, if this was its transaction. */
async function fatesOf(sql: Client, names: Names, group: readonly Append[], xid?: string, after = 0) {
  const answers: postgres.Row[][] = [];
  await sql.unsafe("begin");
  for (const query of investigation(names, group, { xid, after })) answers.push(await run(sql, query));
  await sql.unsafe("commit");
  return readFates(group, answers).map((fate) => (typeof fate === "object" ? fate.outcome : fate));
}

async function xidOf(sql: Client, names: Names, name: string) {
  const [row] = await sql.unsafe(`select xmin::text as xid from ${names.events} where name = '${name}'`);
  return String(row?.xid);
}

test("a lost group is told by its transaction's rows, among those of others", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", null, "a0", "a1")]);
  await send(sql, names, [append("b", null, "b0")]);
  const group = [
    append("a", 1, "a2"),
    append("b", 5, "never"),
    append("a", 2, "a3", "a4"),
    append("c", null, "c0"),
  ];
  await send(sql, names, group);
  const xid = await xidOf(sql, names, "a2");
  await send(sql, names, [append("a", null, "a5", "a6")]);
  await send(sql, names, [append("c", null, "c1")]);
  expect(await fatesOf(sql, names, group, xid)).toEqual([
    { landed: true, head: 1, ids: [4] },
    "unknown",
    { landed: true, head: 2, ids: [5, 6] },
    { landed: true, head: -1, ids: [7] },
  ]);
  // Looked for behind what was there before; behind its own events there is nothing to be found.
  expect(await fatesOf(sql, names, group, xid, 3)).toEqual(await fatesOf(sql, names, group, xid));
  expect(await fatesOf(sql, names, group, xid, 7)).toEqual(group.map(() => "unknown"));
});

test("who lost against another of the same group is told so", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", null, "a0")]);
  const group = [append("a", 0, "a1", "a2"), append("a", 0, "never"), append("a", 1, "never")];
  await send(sql, names, group);
  const conflict = { landed: false, head: 2, ids: [] };
  const fates = await fatesOf(sql, names, group, await xidOf(sql, names, "a1"));
  expect(fates).toEqual([{ landed: true, head: 0, ids: [2, 3] }, conflict, conflict]);
});

test("a transaction that the server has never seen, or that was rolled back, is absent", async () => {
  const { names, sql } = await scene();
  const group = [append("a", null, "a0"), append("b", -1, "b0")];
  const absent = ["absent", "absent"];
  await sql.unsafe("begin");
  const [row] = await sql.unsafe("select pg_current_xact_id()::text as xid");
  const xid = String(row?.xid);
  await run(sql, appendStatements(names, undefined).insert(group));
  await sql.unsafe("rollback");
  expect(await fatesOf(sql, names, group, xid)).toEqual(absent);
  expect(await fatesOf(sql, names, group, String(Number(xid) + 1_000_000))).toEqual(absent);
  expect(await fatesOf(sql, names, group, String(2n ** 40n))).toEqual(absent);
});

test("rows of another transaction that has the same id are not taken for the group's", async () => {
  const { names, sql } = await scene();
  // What a fail-over leaves: the id was given again, to somebody who wrote to the same streams.
  await send(sql, names, [append("a", null, "a0"), append("b", null, "b0", "b1")]);
  const xid = await xidOf(sql, names, "a0");
  const meta = { meta: "{}" };
  const data = { events: [{ name: "a0", data: "{}", pii: null, dates: "{}" }] };
  const b = append("b", null, "b0", "b1");
  const others: Append[][] = [
    [append("a", null, "else")],
    [append("a", -1, "else"), b],
    [{ ...append("a", -1, "a0"), ...meta }, b],
    [{ ...append("a", -1, "a0"), ...data }, b],
    [append("a", null, "a0"), append("b", null, "b1", "b0")],
    // A part of what the transaction wrote to these streams.
    [append("a", null, "a0"), append("b", null, "b0")],
  ];
  for (const group of others)
    expect(await fatesOf(sql, names, group, xid)).toEqual(group.map(() => "unknown"));
  const own = [append("a", null, "a0"), append("b", -1, "b0", "b1")];
  expect(await fatesOf(sql, names, own, xid)).toMatchObject([{ ids: [1] }, { ids: [2, 3] }]);
});

test("a committed transaction whose rows others have changed is told by what stands there", async () => {
  const { names, sql } = await scene();
  const group = [
    append("a", null, "a0"),
    ...["b", "c", "d"].map((stream) => append(stream, -1, `${stream}0`)),
  ];
  await send(sql, names, group);
  const xid = await xidOf(sql, names, "a0");
  await sql.unsafe(`delete from ${names.events} where stream = 'd'`);
  await sql.unsafe(`update ${names.events} set pii = null`);
  await sql.unsafe(`update ${names.events} set name = 'else' where stream = 'c'`);
  await send(sql, names, [append("d", -1, "else")]);
  const conflict = { landed: false, head: 0, ids: [] };
  expect(await fatesOf(sql, names, group, xid)).toEqual(["unknown", "unknown", conflict, conflict]);
});

test("what is appended is not created before the newest event, to the millisecond", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", null, "a0")]);
  for (const group of [[append("a", null, "a")], [append("a", null, "a"), append("b", null, "b")]]) {
    // Ahead of the clock, and between two milliseconds.
    await sql.unsafe(`update ${names.events} set created = '2100-01-01 00:00:00.000300Z'`);
    const { open, insert, commit } = appendStatements(names, undefined);
    await sql.unsafe(open.text);
    const [row] = await run(sql, insert(group));
    await sql.unsafe(commit.text);
    expect(readOutcomes(group, row).created).toEqual(new Date("2100-01-01T00:00:00.001Z"));
    const [newest] = await sql.unsafe(`select created from ${names.events} order by id desc limit 1`);
    expect(newest?.created).toEqual(new Date("2100-01-01T00:00:00.001Z"));
  }
});

test("what a lost group was created at is the latest of its rows'", async () => {
  const { names, sql } = await scene();
  await sql.unsafe(`insert into ${names.events} (stream, version, name, created, data, meta)
    select 'a', n, 'A', '2020-01-01Z'::timestamptz + n * interval '1 day', '{"of":"A"}', '{"m":"a"}' from generate_series(0, 2) n`);
  await sql.unsafe(`insert into ${names.events} (stream, version, name, created, data, meta)
    values ('a', 3, 'B', '2030-01-01Z', '{}', '{}')`);
  const [row] = await sql.unsafe(`select xmin::text as xid from ${names.events} where version = 0`);
  const group = [append("a", -1, "A", "A", "A")];
  const answers: postgres.Row[][] = [];
  for (const query of investigation(names, group, { xid: String(row?.xid), after: 0 }))
    answers.push(await run(sql, query));
  expect(readFates(group, answers)).toMatchObject([{ created: new Date("2020-01-03T00:00:00Z") }]);
});

test("without the transaction's id it is told by the event that stands in its place", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("a", null, "a0", "a1", "a2")]);
  const other = (over: object): Append => ({ ...append("a", 0, "a1"), ...over });
  const like = { name: "a1", data: '{"of":"a1"}', pii: null, dates: "{}" };
  const group = [
    append("a", 0, "a1"),
    append("a", 2, "a3"),
    append("a", 1, "a1"),
    append("new", -1, "n0"),
    append("a", null, "a1"),
    other({ meta: "{}" }),
    other({ events: [{ ...like, name: "else" }] }),
    other({ events: [{ ...like, data: "{}" }] }),
  ];
  const conflict = { landed: false, head: 2, ids: [] };
  expect(await fatesOf(sql, names, group)).toEqual([
    ...["unknown", "absent"],
    conflict,
    ...["absent", "unknown"],
    ...[conflict, conflict, conflict],
  ]);
});

test("where a stream was truncated meanwhile nothing is certain, and nothing overflows", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [
    append("closed", null, "__tombstone__"),
    append("other", null, "o0", "__snapshot__"),
  ]);
  await send(sql, names, [append("seeded", null, "__snapshot__"), append("window", null, "w0", "w1", "w2")]);
  await sql.unsafe(`delete from ${names.events} where stream = 'window' and version < 2`);
  const group = [
    append("seeded", 0, "a1"),
    append("seeded", -1, "a0"),
    append("seeded", 5, "a6"),
    append("window", 0, "b1"),
    append("window", 2_147_483_647, "b"),
    append("closed", -1, "c0"),
    append("closed", 3, "c4"),
    // Somebody's snapshot, not a seed.
    append("other", 0, "o1"),
    append("other", 1, "o2"),
  ];
  const conflict = { landed: false, head: 1, ids: [] };
  const seeded = ["unknown", "unknown", "unknown"];
  const fates = [...seeded, "unknown", "absent", "unknown", "unknown", conflict, "absent"];
  // Where nothing but the seed is there, its age does not matter.
  for (const after of [0, 1_000]) expect(await fatesOf(sql, names, group, undefined, after)).toEqual(fates);
});

test("a stream that was truncated and has grown since is told by the age of its seed", async () => {
  const { names, sql } = await scene();
  await send(sql, names, [append("s", null, "__snapshot__", "s1")]);
  const fates = (after: number) =>
    fatesOf(sql, names, [append("s", 1, "s2"), append("s", 5, "s6")], undefined, after);
  // The seed's id is 1: older than what was there before the commit, so that it cannot have removed that.
  expect(await fates(1)).toEqual(["absent", "absent"]);
  expect(await fates(0)).toEqual(["unknown", "unknown"]);
});
