/** A transaction in one message: what is written and when, and what becomes of errors. */
import { describe, expect, test, vi } from "vitest";
import type { Query } from "../../src/postgres/exchange.ts";
import { VALUES_AS_WRITTEN } from "../../src/postgres/transaction.ts";
import { failureOf, insert, lock, open, prepared, texts, unprepared } from "./channel.ts";

describe("a transaction", () => {
  test("that is small leaves in one write, with one Sync; parameters are bound before the lock is asked for", async () => {
    const { channel, writes, received } = await open();
    await channel.run([lock, insert()], prepared);
    expect(writes.mock.calls.length).toBe(1);
    expect(received()).toEqual([
      "parse insert",
      "describe insert",
      "bind insert",
      "parse lock",
      "describe lock",
      "bind lock",
      "execute lock",
      "execute insert",
      "sync",
    ]);
  });

  test("whose parameters may not fit into one packet sends the rest in one: all of it arrives, or nothing", async () => {
    const { channel, server, writes } = await open();
    await channel.run([lock, insert(2_000)], prepared);
    expect(writes.mock.calls.length).toBe(2);
    const rest = writes.mock.calls[1]?.[0];
    expect(Buffer.isBuffer(rest) && rest.includes("lock")).toBe(true);
    expect(String(writes.mock.calls[0]?.[0])).not.toContain("lock");
    expect(texts(server.ran)).toEqual(["lock", "insert"]);
  });

  test("parses nothing again", async () => {
    const { channel, server, received } = await open();
    await channel.run([lock, insert()], prepared);
    await channel.run([lock, insert()], prepared);
    expect(received().slice(9)).toEqual([
      "bind insert",
      "bind lock",
      "execute lock",
      "execute insert",
      "sync",
    ]);
    expect(server.ran.map(({ params }) => params)).toEqual([[], ["x", null], [], ["x", null]]);
  });

  test("without prepared statements is a block that says its isolation; nothing is bound before BEGIN has run", async () => {
    const { channel, writes, received, server } = await open();
    for (let i = 0; i < 2; i++) await channel.run([lock, insert()], unprepared);
    expect(writes.mock.calls.length).toBe(2);
    const steps = received().filter((step) => step.startsWith("execute") || step.startsWith("bind"));
    const once = [
      "bind begin isolation level read committed",
      "execute begin isolation level read committed",
      `bind ${VALUES_AS_WRITTEN.text}`,
      `execute ${VALUES_AS_WRITTEN.text}`,
      "bind insert",
      "bind lock",
      "execute lock",
      "execute insert",
      "bind commit",
      "execute commit",
    ];
    expect(steps).toEqual([...once, ...once]);
    expect(received().filter((step) => step === "sync").length).toBe(2);
    expect(server.ran.length).toBe(10);
  });

  test("with Citus is a block of prepared statements; one statement needs none", async () => {
    const { channel, received } = await open();
    const options = { ...prepared, citus: true };
    await channel.run([lock, insert()], options);
    const steps = () => received().filter((step) => step.startsWith("execute"));
    const block = ["begin isolation level read committed", "lock", "insert", "commit"];
    expect(steps()).toEqual(block.map((text) => `execute ${text}`));
    await channel.run([insert()], options);
    expect(steps().slice(block.length)).toEqual(["execute insert"]);
  });

  test("answers with the rows and the tag of each statement, in the order of the statements", async () => {
    const { channel, server } = await open();
    server.respond = ({ text }) =>
      text === "lock"
        ? { columns: [["pg_advisory_xact_lock", 2278]], rows: [[""]], tag: "SELECT 1" }
        : text === "insert"
          ? {
              columns: [
                ["id", 20],
                ["data", 3802],
                ["note", 25],
              ],
              rows: [
                ["1", '{"a":1}', null],
                ["2", "[]", "ü"],
              ],
              tag: "INSERT 0 2",
            }
          : {};
    for (const options of [prepared, prepared, unprepared])
      expect(await channel.run([lock, insert(), { text: "delete" }], options)).toEqual([
        { rows: [{ pg_advisory_xact_lock: "" }], tag: "SELECT 1" },
        {
          rows: [
            { id: 1, data: { a: 1 }, note: null },
            { id: 2, data: [], note: "ü" },
          ],
          tag: "INSERT 0 2",
        },
        { rows: [], tag: "DELETE" },
      ]);
  });

  test("asks for parameters that are a function when they are sent, not before", async () => {
    const { channel, server } = await open();
    let clock = 1;
    const timed: Query = { text: "lock", params: () => [clock] };
    const running = channel.run([timed], prepared);
    clock = 2;
    await running;
    clock = 3;
    await channel.run([timed], prepared);
    expect(server.ran.map(({ params }) => params)).toEqual([["1"], ["3"]]);
  });
});

describe("large parameters", () => {
  const size = 200_000;

  test("are on the server before anything is said about the lock", async () => {
    const { channel, server, writes, received } = await open();
    const hold = server.hold("flush");
    const transferred = vi.fn();
    const running = channel.run([lock, insert(size)], { prepare: true, transferred });
    await hold.reached;
    expect(writes.mock.calls.length).toBe(1);
    expect(received()).toEqual(["parse insert", "describe insert", "bind insert"]);
    expect(channel.committing).toBe(false);
    expect(transferred).not.toHaveBeenCalled();
    hold.release();
    await running;
    expect(writes.mock.calls.length).toBe(2);
    expect(received().slice(3)).toEqual([
      "flush",
      "parse lock",
      "describe lock",
      "bind lock",
      "execute lock",
      "execute insert",
      "sync",
    ]);
    expect(server.ran.at(-1)?.params[0]?.length).toBe(size);
    expect(transferred.mock.calls).toEqual([[expect.any(Number), expect.any(Number)]]);
    expect(transferred.mock.calls[0]?.[0]).toBeGreaterThan(size);
  });

  test("without prepared statements travel inside the block, before the lock too", async () => {
    const { channel, server, received } = await open();
    const hold = server.hold("flush");
    const running = channel.run([lock, insert(size)], unprepared);
    await hold.reached;
    expect(received().filter((step) => step.includes("lock"))).toEqual([]);
    expect(texts(server.ran)).toEqual(["begin isolation level read committed", VALUES_AS_WRITTEN.text]);
    hold.release();
    await running;
    expect(texts(server.ran).slice(2)).toEqual(["lock", "insert", "commit"]);
  });

  test("that the server refuses are told, and nothing runs", async () => {
    const { channel, server } = await open();
    const transferred = vi.fn();
    server.refuse("bind", "insert", { code: "22P02" });
    const failure = await failureOf(channel.run([lock, insert(size)], { prepare: true, transferred }));
    expect(failure).toMatchObject({ step: "bind", failedAt: 1, cause: { code: "22P02" } });
    expect(server.ran).toEqual([]);
    expect(transferred).not.toHaveBeenCalled();
    expect(await channel.run([lock, insert()], prepared)).toHaveLength(2);
  });

  test("of a statement that is not bound first go with the rest", async () => {
    const { channel, writes } = await open();
    await channel.run([lock, { text: "select", params: ["x".repeat(size)] }], prepared);
    expect(writes.mock.calls.length).toBe(1);
  });
});

describe("an error", () => {
  const cases = [
    ["parse", "lock", 0, "parse"],
    ["describe", "lock", 0, "parse"],
    ["bind", "lock", 0, "bind"],
    ["execute", "lock", 0, "execute"],
    ["parse", "insert", 1, "parse"],
    ["describe", "insert", 1, "parse"],
    ["bind", "insert", 1, "bind"],
    ["execute", "insert", 1, "execute"],
  ] as const;

  describe.each([
    ["prepared", prepared],
    ["unprepared", unprepared],
  ] as const)("of %s statements", (_, options) => {
    test.each(cases)(
      "in the %s of %s is told with its step and statement; nothing behind it runs",
      async (kind, text, failedAt, step) => {
        const { channel, server } = await open();
        server.refuse(kind, text, { code: "42P01", message: "no such table" });
        const failure = await failureOf(channel.run([lock, insert()], options));
        expect(failure).toMatchObject({
          step,
          failedAt,
          inDoubt: false,
          message: "no such table",
          cause: { name: "ServerError", code: "42P01" },
        });
        const before = kind === "execute" && text === "insert" ? ["lock"] : [];
        expect(texts(server.ran).filter((ran) => ran === "lock" || ran === "insert")).toEqual(before);
        // The connection is as good as before.
        server.ran.length = 0;
        expect(await channel.run([lock, insert()], options)).toHaveLength(2);
        expect(texts(server.ran).filter((ran) => ran === "lock" || ran === "insert")).toEqual([
          "lock",
          "insert",
        ]);
      },
    );
  });

  test("at the commit is told as the commit's", async () => {
    const { channel, server } = await open();
    server.refuse("sync", "", { code: "23503" });
    expect(await failureOf(channel.run([lock, insert()], prepared))).toMatchObject({
      step: "commit",
      failedAt: 2,
      cause: { code: "23503" },
    });
    server.refuse("execute", "commit", { code: "23503" });
    expect(await failureOf(channel.run([lock, insert()], unprepared))).toMatchObject({
      step: "commit",
      failedAt: 2,
      cause: { code: "23503" },
    });
  });

  test("at the commit is in doubt with Citus, and ends the session", async () => {
    const { channel, server, fatal } = await open();
    server.refuse("execute", "commit", { code: "XX000" });
    expect(await failureOf(channel.run([lock, insert()], { ...prepared, citus: true }))).toMatchObject({
      step: "commit",
      inDoubt: true,
      cause: { code: "XX000" },
    });
    expect(fatal).toMatchObject([{ code: "XX000" }]);
  });

  test("at a statement is not in doubt with Citus", async () => {
    const { channel, server, fatal } = await open();
    server.refuse("execute", "insert", { code: "22P02" });
    expect(await failureOf(channel.run([lock, insert()], { ...prepared, citus: true }))).toMatchObject({
      step: "execute",
      failedAt: 1,
      inDoubt: false,
    });
    expect(fatal).toEqual([]);
  });

  test("at BEGIN keeps everything from running", async () => {
    const { channel, server } = await open();
    server.refuse("execute", "begin isolation level read committed", { code: "57014" });
    expect(await failureOf(channel.run([lock, insert()], unprepared))).toMatchObject({
      step: "execute",
      failedAt: -1,
      cause: { code: "57014" },
    });
    expect(server.ran).toEqual([]);
  });

  test("in a block is followed by a ROLLBACK, so that the next one begins anew", async () => {
    const { channel, server } = await open();
    server.refuse("execute", "insert", { code: "22P02" });
    await failureOf(channel.run([lock, insert()], unprepared));
    expect(texts(server.ran).at(-1)).toBe("rollback");
  });

  test("that strikes the ROLLBACK too, as a cancel may, makes it go again: the next one does not fail for it", async () => {
    const { channel, server } = await open();
    server.refuse("execute", "insert", { code: "57014" });
    server.refuse("query", "rollback", { code: "57014" });
    await failureOf(channel.run([lock, insert()], unprepared));
    server.ran.length = 0;
    expect(await channel.run([lock, insert()], unprepared)).toHaveLength(2);
    expect(texts(server.ran)).toEqual([
      "begin isolation level read committed",
      VALUES_AS_WRITTEN.text,
      "lock",
      "insert",
      "commit",
    ]);
  });

  test("in the description of a statement leaves no half of it: its rows are read as ever", async () => {
    const { channel, server } = await open();
    server.respond = () => ({ columns: [["id", 23]], rows: [["7"]] });
    server.refuse("describe", "lock", { code: "57014" });
    await failureOf(channel.run([lock], prepared));
    expect(await channel.run([lock], prepared)).toEqual([{ rows: [{ id: 7 }], tag: "LOCK" }]);
  });
});

test("statements have names that no other client has: a session may be handed on with what was prepared on it", async () => {
  const [one, other] = [await open(), await open()];
  const names = [];
  for (const { channel, writes } of [one, other]) {
    await channel.run([{ text: "lock" }], prepared);
    names.push(/act_\w+/.exec(String(writes.mock.calls[0]?.[0]))?.[0]);
  }
  expect(names).not.toContain(undefined);
  expect(names[0]).not.toBe(names[1]);
});

test("statements can be prepared before they are needed: nothing runs", async () => {
  const { channel, server, received } = await open();
  await channel.prepare([lock, insert()]);
  expect(server.ran).toEqual([]);
  await channel.run([lock, insert()], prepared);
  expect(received().filter((step) => step.startsWith("parse")).length).toBe(2);
  server.refuse("parse", "other", { code: "42P01" });
  await expect(channel.prepare([{ text: "other" }])).rejects.toMatchObject({ code: "42P01" });
});

test("a session that was in a transaction block already is rolled back: nothing was committed, and that is told", async () => {
  const { channel, server } = await open();
  await channel.run([{ text: "begin" }, insert()], prepared).catch(() => {});
  server.ran.length = 0;
  expect(await failureOf(channel.run([{ text: "begin" }, insert()], prepared))).toMatchObject({
    step: "commit",
    inDoubt: false,
    message: "the session was in a transaction already: it was rolled back",
  });
  expect(texts(server.ran)).toEqual(["begin", "insert", "rollback"]);
  expect(await channel.run([insert()], prepared)).toHaveLength(1);
});

test("a COMMIT that is answered by ROLLBACK is a failure", async () => {
  const { channel, server } = await open();
  server.respond = ({ text }) => (text === "commit" ? { tag: "ROLLBACK" } : {});
  expect(await failureOf(channel.run([lock, insert()], unprepared))).toMatchObject({
    step: "commit",
    message: "COMMIT was answered by ROLLBACK",
  });
});

describe("a statement that the server no longer knows", () => {
  const stale = [{ code: "26000" }, { code: "0A000", routine: "RevalidateCachedQuery" }] as const;

  test.each(stale)("($code) is parsed anew, and the transaction sent once more", async (refusal) => {
    const { channel, server, received } = await open();
    await channel.run([lock, insert()], prepared);
    server.refuse("bind", "insert", refusal);
    expect(await channel.run([lock, insert()], prepared)).toHaveLength(2);
    expect(texts(server.ran)).toEqual(["lock", "insert", "lock", "insert"]);
    expect(received().filter((step) => step.startsWith("parse"))).toEqual([
      "parse insert",
      "parse lock",
      "parse insert",
      "parse lock",
    ]);
  });

  test("is parsed anew once: then the error is told", async () => {
    const { channel, server } = await open();
    server.refuse("bind", "insert", { code: "26000" }, 2);
    expect(await failureOf(channel.run([lock, insert()], prepared))).toMatchObject({
      cause: { code: "26000" },
    });
    expect(server.ran).toEqual([]);
  });

  test("is another matter than what is not supported (0A000): that is not sent again", async () => {
    const { channel, server, received } = await open();
    server.refuse("bind", "insert", { code: "0A000", routine: "transformInsertStmt" });
    expect(await failureOf(channel.run([lock, insert()], prepared))).toMatchObject({
      cause: { code: "0A000" },
    });
    expect(received().filter((step) => step === "sync").length).toBe(1);
  });
});
