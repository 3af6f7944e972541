/** Export, import and archive: every byte comes back, or nothing is changed. */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { Admin, ArchiveError, type ArchiveTarget, decompress } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { memory } from "./exported.ts";

const fixture = useDatabase();
const meta = { correlation: "c", causation: {} };

async function textOf(source: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const part of source) text += part;
  return text;
}
const exported = (store: PostgresStore, options = {}) => textOf(new Admin(store).export(options));
const from = (...parts: string[]) => Readable.from(parts);
/** Every column as the server writes it. */
const rowsOf = async (store: PostgresStore) =>
  (await fixture.sql.unsafe(`select to_jsonb(e)::text as row from ${store.config.table} e order by id`)).map(
    ({ row }) => row,
  );

/** Numbers beyond a double, dates, pii, a snapshot, a gap in the ids, microseconds. */
async function variedStore(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { table } = store.config;
  await store.commit("a", [{ name: "Placed", data: { at: new Date(0), text: 'ü\u2028"\\' } }], meta);
  await store.commit("b", [{ name: "Joined", data: {}, pii: { email: "ada@example.org" } }], meta);
  await store.commit("a", [{ name: "__snapshot__", data: { n: 1 } }], meta);
  await store.commit("gap", [{ name: "Gone", data: {} }], meta);
  await fixture.sql.unsafe(`delete from ${table} where stream = 'gap'`);
  await store.commit("a", [{ name: "Placed", data: {} }], meta);
  await fixture.sql.unsafe(
    `update ${table} set data = '{"big": 12345678901234567890.123456789}', created = '2026-01-02T03:04:05.678901Z' where id = 5`,
  );
  return store;
}

describe("an export that is imported", () => {
  test("is equal in every column, and ids go on behind it", async () => {
    const source = await variedStore();
    const target = await fixture.seeded();
    const text = await exported(source);
    expect(await new Admin(target).import(from(text))).toEqual({ events: 4, lastId: 5 });
    expect(await rowsOf(target)).toEqual(await rowsOf(source));
    expect(await exported(target)).toBe(text);
    const [next] = await target.commit("a", [{ name: "Next", data: {} }], meta);
    expect(next?.id).toBe(6);
  });

  test("may come in pieces that end anywhere", async () => {
    const source = await variedStore();
    const target = await fixture.seeded();
    const text = await exported(source);
    await new Admin(target).import(from(...(text.match(/[\s\S]{1,7}/g) ?? [])));
    expect(await rowsOf(target)).toEqual(await rowsOf(source));
  });

  test("of several pages is whole", async () => {
    const source = await fixture.seeded();
    await fixture.sql.unsafe(`insert into ${source.config.table} (name, data, stream, version, meta)
      select 'N', '{}', 's' || n % 10, n / 10, '{}' from generate_series(0, 5000) n`);
    const target = await fixture.seeded();
    expect((await new Admin(target).import(from(await exported(source)))).events).toBe(5001);
  });

  test("holds only the streams and ids that were asked for", async () => {
    const source = await variedStore();
    const text = await exported(source, { stream: "a", streamExact: true, after: 1 });
    expect(
      text
        .trim()
        .split("\n")
        .slice(1, -1)
        .map((line) => JSON.parse(line).id),
    ).toEqual([3, 5]);
  });

  test("of an empty log is empty", async () => {
    const text = await exported(await fixture.seeded());
    expect((await new Admin(await fixture.seeded()).import(from(text))).events).toBe(0);
  });
});

describe("an import is refused, and changes nothing,", () => {
  const line = (id: number, stream: string, version: number, more = {}) =>
    JSON.stringify({
      id,
      stream,
      version,
      created: "2026-01-01 00:00:00+00",
      name: "N",
      data: {},
      meta: {},
      ...more,
    });
  const HEAD = '{"act-drizzle":"events","format":1}';

  test.each([
    ["without a header", [line(1, "s", 0)], /line 1: this is no export/],
    ["that is no JSON", [HEAD, "{"], /line 2: not JSON/],
    ["without a footer", [HEAD, line(1, "s", 0)], /line 3: the footer is missing/],
    [
      "with ids that do not ascend",
      [HEAD, line(2, "s", 0), line(1, "t", 0)],
      /line 3 \(stream "t", version 0\): ids must ascend/,
    ],
    [
      "with a version twice",
      [HEAD, line(1, "s", 0), line(2, "s", 0)],
      /line 3 \(stream "s", version 0\): this version was there before/,
    ],
    [
      "with a field of a wrong type",
      [HEAD, line(1, "s", 0, { name: 7 })],
      /line 2 \(stream "s", version 0\): name is missing or of a wrong type/,
    ],
    [
      "with a time that is none",
      [HEAD, line(1, "s", 0, { created: "infinity" })],
      /line 2 \(stream "s", version 0\): created is missing or of a wrong type/,
    ],
    [
      "without data",
      [HEAD, line(1, "s", 0, { data: undefined })],
      /line 2 \(stream "s", version 0\): data is missing/,
    ],
    [
      "with a footer that counts others",
      [HEAD, line(1, "s", 0), `{"events":2,"sha256":"${"0".repeat(64)}"}`],
      /line 3: the footer counts 2 events, there are 1/,
    ],
    [
      "with a checksum of something else",
      [HEAD, line(1, "s", 0), `{"events":1,"sha256":"${"0".repeat(64)}"}`],
      /line 3: the checksum does not match/,
    ],
  ])("%s", async (_, lines, message) => {
    const target = await fixture.seeded();
    await expect(new Admin(target).import(from(`${lines.join("\n")}\n`))).rejects.toThrow(message);
    expect(await rowsOf(target)).toEqual([]);
  });

  test("into a log that is not empty", async () => {
    const text = await exported(await variedStore());
    const target = await fixture.seeded();
    await target.commit("mine", [{ name: "N", data: {} }], meta);
    await expect(new Admin(target).import(from(text))).rejects.toThrow(/not empty/);
    expect(await rowsOf(target)).toHaveLength(1);
  });

  test("to be merged with an event of the same place, which is named", async () => {
    const text = await exported(await variedStore());
    const target = await fixture.seeded();
    await target.commit("x", [{ name: "N", data: {} }], meta);
    await target.commit("x", [{ name: "N", data: {} }], meta);
    await expect(new Admin(target).import(from(text), { mode: "merge" })).rejects.toThrow(
      /line 2 \(stream "a", version 0\): the log has an event with this id/,
    );
    expect(await rowsOf(target)).toHaveLength(2);
  });

  test("as a dry run, however good it is", async () => {
    const text = await exported(await variedStore());
    const target = await fixture.seeded();
    expect((await new Admin(target).import(from(text), { dryRun: true })).events).toBe(4);
    expect(await rowsOf(target)).toEqual([]);
  });
});

test("replace deletes log, subscriptions and checkpoints first, and repeats no id", async () => {
  const text = await exported(await variedStore());
  const target = await fixture.seeded();
  for (let n = 0; n < 9; n++) await target.commit("old", [{ name: "N", data: {} }], meta);
  await target.subscribe([{ stream: "reader", correlated_at: 9 }], 9);
  await new Admin(target).import(from(text), { mode: "replace" });
  expect(await rowsOf(target)).toHaveLength(4);
  expect((await target.query_streams(() => {})).count).toBe(0);
  const [next] = await target.commit("a", [{ name: "N", data: {} }], meta);
  expect(next?.id).toBe(10);
});

test("an import never moves the ids back, also if their sequence was restarted and none was drawn since", async () => {
  const text = await exported(await variedStore());
  const target = await fixture.seeded();
  const { schema, table } = target.config;
  await fixture.sql.unsafe(`alter sequence "${schema}"."${table}_id_seq" restart with 50`);
  await new Admin(target).import(from(text), { mode: "merge" });
  expect((await target.commit("a", [{ name: "N", data: {} }], meta))[0]?.id).toBe(50);
});

async function closedStreams(count: number): Promise<PostgresStore> {
  const store = await fixture.seeded();
  for (let n = 0; n < count; n++) {
    await store.commit(
      `done-${n}`,
      [
        { name: "A", data: {} },
        { name: "B", data: { n } },
      ],
      meta,
    );
    await store.commit(`done-${n}`, [{ name: "__tombstone__", data: {} }], meta, 1);
  }
  await store.commit("open", [{ name: "A", data: {} }], meta);
  return store;
}

test("an import of the event 1 alone moves the unused sequence: the next id is 2", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [{ name: "A", data: {} }], meta);
  const copy = await fixture.seeded();
  await new Admin(copy).import(new Admin(store).export());
  // A commit that drew 1 again would mend the sequence, so the sequence itself is looked at.
  const [next] = await fixture.sql.unsafe(
    `select nextval(pg_get_serial_sequence('${copy.config.table}', 'id'))::int as id`,
  );
  expect(next?.id).toBe(2);
});

describe("an archive", () => {
  test.each(["zstd", "gzip", "none"] as const)(
    "of closed streams takes all but the tombstones (%s), and comes back byte by byte",
    async (compression) => {
      const store = await closedStreams(3);
      const before = await rowsOf(store);
      const { target, objects } = memory();
      const done = await new Admin(store).archive({ target, compression, streamsPerFile: 2 });
      expect([done.streams, done.events, done.files.length]).toEqual([3, 6, 2]);
      expect(await fixture.rows(store)).toMatchObject([
        { stream: "done-0", name: "__tombstone__" },
        { stream: "done-1", name: "__tombstone__" },
        { stream: "done-2", name: "__tombstone__" },
        { stream: "open", name: "A" },
      ]);
      for (const { file, sha256 } of done.files) {
        expect(JSON.parse(String(objects.get(`${file}.manifest.json`)))).toMatchObject({ file, sha256 });
        await new Admin(store).import(decompress(target.read(file), compression), { mode: "merge" });
      }
      expect(await rowsOf(store)).toEqual(before);
    },
  );

  test("of what lies behind an old snapshot leaves the snapshot and what follows", async () => {
    const store = await fixture.seeded();
    await store.commit(
      "s",
      [
        { name: "A", data: {} },
        { name: "__snapshot__", data: {} },
        { name: "B", data: {} },
      ],
      meta,
    );
    const { target } = memory();
    const tomorrow = new Date(Date.now() + 86_400_000);
    expect(await new Admin(store).archive({ target, before: tomorrow })).toMatchObject({
      streams: 1,
      events: 1,
    });
    expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["__snapshot__", "B"]);
    expect(await new Admin(store).archive({ target, before: tomorrow })).toMatchObject({
      streams: 0,
      events: 0,
    });
  });

  test.each([
    ["tombstones", "__tombstone__", undefined],
    ["snapshots", "__snapshot__", new Date(Date.now() + 86_400_000)],
  ])("finds a stream behind very many whose %s have no earlier events left", async (_, name, before) => {
    const store = await fixture.seeded();
    await fixture.sql.unsafe(`insert into ${store.config.table} (stream, version, name, data, meta)
      select 'archived-' || g, 9, '${name}', '{}', '{}' from generate_series(1, 10000) g`);
    await store.commit("then", [{ name: "A", data: {} }], meta);
    await store.commit("then", [{ name, data: {} }], meta);
    const { target } = memory();
    expect(await new Admin(store).archive({ target, before })).toMatchObject({ streams: 1, events: 1 });
  });

  test("fills a file, although a statement has found less", async () => {
    const store = await closedStreams(1);
    await fixture.sql.unsafe(`insert into ${store.config.table} (stream, version, name, data, meta)
      select 'archived-' || g, 9, '__tombstone__', '{}', '{}' from generate_series(1, 10000) g`);
    await store.commit("then", [{ name: "A", data: {} }], meta);
    await store.commit("then", [{ name: "__tombstone__", data: {} }], meta);
    const done = await new Admin(store).archive({ target: memory().target, streamsPerFile: 2 });
    expect(done).toMatchObject({ streams: 2, events: 3, files: [{ streams: 2 }] });
  });

  test("deletes nothing if the target does not give back what it took", async () => {
    const store = await closedStreams(1);
    const { target } = memory((bytes) => Buffer.from(String(bytes).replace('"name": "A"', '"name": "X"')));
    await expect(new Admin(store).archive({ target, compression: "none" })).rejects.toThrow(
      /checksum does not match/,
    );
    expect(await fixture.rows(store)).toHaveLength(4);
  });

  test("deletes nothing if an import would refuse an event, and names it", async () => {
    const store = await closedStreams(1);
    await fixture.sql.unsafe(`update ${store.config.table} set created = 'infinity' where id = 2`);
    const failure = await new Admin(store).archive({ target: memory().target }).catch((error) => error);
    expect(failure).toBeInstanceOf(ArchiveError);
    expect(failure.message).toMatch(
      /line 3 \(stream "done-0", version 1\): created .* Nothing of this file was deleted from the log: /,
    );
    expect(await fixture.rows(store)).toHaveLength(4);
  });

  test("names the events that a trigger kept from being deleted", async () => {
    const store = await closedStreams(1);
    const { table } = store.config;
    await fixture.sql.unsafe(`create function ${table}_keep() returns trigger language plpgsql
        as $$ begin return case when old.version = 0 then null else old end; end $$;
      create trigger keep before delete on ${table} for each row execute function ${table}_keep()`);
    const failure = await new Admin(store).archive({ target: memory().target }).catch((error) => error);
    expect(failure).toBeInstanceOf(ArchiveError);
    expect(failure.message).toMatch(
      /kept 1 of 2 events from being deleted\. They stay in the log, and .*jsonl/,
    );
    expect(await fixture.rows(store)).toHaveLength(3);
    await fixture.sql.unsafe(`drop trigger keep on ${table}`);
    expect(await new Admin(store).archive({ target: memory().target })).toMatchObject({ events: 1 });
  });

  test("deletes nothing if the target takes nothing", async () => {
    const store = await closedStreams(1);
    const target: ArchiveTarget = { ...memory().target, write: () => Promise.reject(new Error("disk full")) };
    await expect(new Admin(store).archive({ target })).rejects.toThrow("disk full");
    expect(await fixture.rows(store)).toHaveLength(4);
  });

  test.each([0, -1, 1.5, Number.NaN])("of %d streams in a file is refused", async (streamsPerFile) => {
    const store = await fixture.seeded();
    const target: ArchiveTarget = { write: async () => {}, read: () => Readable.from([]) };
    const archive = new Admin(store).archive({ target, streamsPerFile, dryRun: true });
    await expect(archive).rejects.toMatchObject({
      details: expect.stringContaining("streamsPerFile must be a whole number above 0"),
    });
  });

  test("as a dry run counts only", async () => {
    const store = await closedStreams(2);
    const { target, objects } = memory();
    expect(await new Admin(store).archive({ target, dryRun: true })).toEqual({
      streams: 2,
      events: 4,
      awaited: 0,
      files: [],
    });
    expect(objects.size).toBe(0);
  });

  test("leaves a stream alone that is open, or that went on behind its tombstone", async () => {
    const store = await closedStreams(1);
    await store.commit("done-0", [{ name: "Again", data: {} }], meta);
    const { target } = memory();
    expect(await new Admin(store).archive({ target })).toMatchObject({ streams: 0, events: 0 });
  });
});
