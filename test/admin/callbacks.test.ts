/** Callbacks that are async although nobody asks for a promise: one that rejects must not end the process. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { log } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import { Admin, folder } from "../../src/admin/index.ts";
import { type PostgresStore, seedAll } from "../../src/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

const drain = async (pages: AsyncIterable<unknown>) => {
  for await (const _ of pages);
};

async function archiveTo(admin: Admin, onProgress: () => void): Promise<unknown> {
  const path = await mkdtemp(join(tmpdir(), "act-drizzle-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return admin.archive({ target: folder(path), onProgress });
}

type Call = (store: PostgresStore, admin: Admin, callback: () => void) => Promise<unknown>;

const calls: readonly (readonly [string, Call])[] = [
  ["query", (store, _, callback) => store.query(callback)],
  ["query_streams", (store, _, callback) => store.query_streams(callback)],
  ["export", (_, admin, onProgress) => drain(admin.export({ onProgress }))],
  ["export as csv", (_, admin, onProgress) => drain(admin.export({ format: "csv", onProgress }))],
  ["import", (_, admin, onProgress) => admin.import(admin.export(), { mode: "replace", onProgress })],
  ["archive", (_, admin, onProgress) => archiveTo(admin, onProgress)],
  ["reset", (_, admin, onProgress) => admin.reset({}, { onProgress })],
  ["reset by name", (_, admin, onProgress) => admin.reset(["r"], { onProgress })],
  ["seedAll", (store, _, onProgress) => seedAll([store], { onProgress })],
  ["move", (_, admin, onProgress) => admin.move(fixture.store({ schema: "elsewhere" }), { onProgress })],
];

test.each(calls)("%s waits for an async callback, and rejects as it does", async (_, call) => {
  const store = await fixture.seeded();
  await store.commit("s", [event(), event()], meta);
  await store.truncate([{ stream: "s" }]);
  await store.commit("closed", [event(), event("__tombstone__")], meta);
  await store.subscribe([{ stream: "r", source: "s", correlated_at: 1 }]);
  const mine = new Error("mine");
  const later = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    throw mine;
  };
  await expect(call(store, new Admin(store), later)).rejects.toBe(mine);
});

test("a callback of a move that calls the store does not wait for the lock that the move holds", async () => {
  const store = await fixture.seeded({ statement_timeout: 5_000 });
  await store.commit("s", [event()], meta);
  const states: string[] = [];
  const moved = await new Admin(store).move(fixture.store({ schema: "further" }), {
    onProgress: async ({ state }) => {
      states.push(state);
      // Refused, because by then the tables are gone.
      if (state === "locked") await expect(store.query(() => {})).rejects.toThrow();
    },
  });
  expect(moved.events).toBe(1);
  expect(states.slice(-2)).toEqual(["locked", "moved"]);
});

test("a function given to watch() that throws or rejects is logged, and is called again", async () => {
  const store = await fixture.seeded({ notify: true });
  const said = vi.spyOn(log(), "error").mockImplementation(() => {});
  onTestFinished(() => said.mockRestore());
  let called = 0;
  const watch = await new Admin(store).watch(() => {
    called++;
    if (called === 1) throw new TypeError("secret");
    return Promise.reject(new RangeError("secret"));
  });
  onTestFinished(() => watch?.stop());
  for (const times of [1, 2]) {
    await store.commit("s", [event()], meta);
    await expect.poll(() => said.mock.calls.length).toBe(times);
  }
  expect(said.mock.calls.flat()).toEqual([
    "[act-drizzle] the function given to watch() failed: TypeError",
    "[act-drizzle] the function given to watch() failed: RangeError",
  ]);
});
