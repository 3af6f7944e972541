/** One socket, two who use it: a transaction's exchange with the server, and the driver. */
import { describe, expect, test, vi } from "vitest";
import { insert, lock, open, prepared, rechunk } from "./channel.ts";
import { message } from "./fake-server.ts";

test("reads its answers wherever the network has split them", async () => {
  const { channel, socket, server } = await open();
  server.respond = ({ text }) => (text === "insert" ? { columns: [["id", 23]], rows: [["7"]] } : {});
  rechunk(socket, (chunk) => Array.from(chunk, (byte) => Buffer.of(byte)));
  const [, answer] = await channel.run([lock, insert()], prepared);
  expect(answer?.rows).toEqual([{ id: 7 }]);
});

describe("the driver", () => {
  test("hears nothing of a transaction, and has its listeners back afterwards", async () => {
    const { channel, driver, socket, listener, server } = await open();
    await channel.run([lock, insert()], prepared);
    expect(driver).toEqual([]);
    expect(socket.listeners("data")).toEqual([listener]);
    server.session.send(message("N", "later"));
    await vi.waitFor(() => expect(driver.join("")).toContain("later"));
  });

  test("gets what comes behind ReadyForQuery in the same chunk, also part of a message", async () => {
    const { channel, driver, server, socket } = await open();
    const behind = Buffer.concat([message("N", "behind"), Buffer.from("S")]);
    rechunk(socket, (chunk) => [Buffer.concat([chunk, behind])]);
    await channel.run([lock], prepared);
    expect(driver).toEqual([behind.toString("latin1")]);
    expect(server.session.received.at(-1)).toBe("sync");
  });

  test("has its listeners back though an answer could not be read", async () => {
    const { channel, socket, listener, server } = await open();
    server.respond = () => ({ columns: [["data", 3802]], rows: [["{"]] });
    await expect(channel.run([lock], prepared)).rejects.toThrow(SyntaxError);
    expect(socket.listeners("data")).toEqual([listener]);
  });
});

test("the server's last words are handed on: the transaction is settled by the close", async () => {
  const { channel, server, fatal } = await open();
  server.refuse("execute", "lock", { code: "57P01", severity: "FATAL" });
  const settled = vi.fn();
  channel.run([lock, insert()], prepared).then(settled, settled);
  await vi.waitFor(() => expect(fatal).toMatchObject([{ code: "57P01", severity: "FATAL" }]));
  expect(settled).not.toHaveBeenCalled();
});

describe("a block that goes on", () => {
  test("takes one statement after the other, until COMMIT", async () => {
    const { channel, server } = await open();
    server.respond = ({ text }) =>
      text === "count" ? { columns: [["n", 23]], rows: [["1"]], tag: "SELECT 1" } : {};
    await channel.step({ text: "begin" });
    expect((await channel.step({ text: "count", params: [5] })).rows).toEqual([{ n: 1 }]);
    expect((await channel.step({ text: "commit" })).tag).toBe("COMMIT");
    expect(server.ran).toEqual([
      { text: "begin", params: [] },
      { text: "count", params: ["5"] },
      { text: "commit", params: [] },
    ]);
  });

  test("that is no longer open is an error, whatever the statement's answer is", async () => {
    const { channel, server } = await open();
    await expect(channel.step({ text: "delete" })).rejects.toThrow(
      "the transaction was no longer open after DELETE",
    );
    await channel.step({ text: "begin" });
    server.respond = () => ({ tag: "ROLLBACK" });
    await expect(channel.step({ text: "commit" })).rejects.toThrow(
      "the transaction was no longer open after ROLLBACK",
    );
  });

  test("is told of an error as it is", async () => {
    const { channel, server } = await open();
    await channel.step({ text: "begin" });
    server.refuse("execute", "delete", { code: "40P01" });
    await expect(channel.step({ text: "delete" })).rejects.toMatchObject({
      name: "ServerError",
      code: "40P01",
    });
  });
});
