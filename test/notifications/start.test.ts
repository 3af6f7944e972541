/** How a listener starts. */

import type { StoreNotification } from "@rotorsoft/act";
import { expect, test, vi } from "vitest";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import type { Handler } from "../../src/notifications/notify.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** A listener whose LISTEN is sent when `listen` is called, and that has read its position before. */
async function starting(store: PostgresStore, handler: Handler) {
  const { connections } = contextOf(store);
  const sent = Promise.withResolvers<void>();
  const listen = connections.listen.bind(connections);
  vi.spyOn(connections, "listen").mockImplementation(async (options) => {
    await sent.promise;
    return listen(options);
  });
  const read = vi.spyOn(connections, "read");
  const started = store.notify?.(handler);
  await expect.poll(() => read.mock.settledResults.map(({ type }) => type)).toEqual(["fulfilled"]);
  return {
    listen: async () => {
      sent.resolve();
      return started;
    },
  };
}

test("a connection of the pool is opened while LISTEN is on its way", async () => {
  const store = await fixture.seeded({ notify: true });
  const { listen } = await starting(store, () => {});
  await (await listen())?.();
});

test("an event that comes between the look at the log and LISTEN is reported", async () => {
  const store = await fixture.seeded({ notify: true, pollIntervalMillis: 0 });
  const reported: StoreNotification[] = [];
  const { listen } = await starting(store, (notification) => void reported.push(notification));
  const other = fixture.store({ table: store.config.table, notify: true });
  const [committed] = await other.commit("s", [event("Came")], meta);
  const dispose = await listen();
  expect(reported).toEqual([{ stream: "s", events: [{ id: committed?.id, name: "Came" }] }]);
  await dispose?.();
});

test("an event that nobody announced is found by polling", async () => {
  const store = await fixture.seeded({ notify: true, pollIntervalMillis: 100 });
  const reported: StoreNotification[] = [];
  const dispose = await store.notify?.((notification) => void reported.push(notification));
  const silent = fixture.store({ table: store.config.table, notify: false });
  const [committed] = await silent.commit("s", [event("Silent")], meta);
  await expect
    .poll(() => reported, { timeout: 5_000 })
    .toEqual([{ stream: "s", events: [{ id: committed?.id, name: "Silent" }] }]);
  await dispose?.();
});

test("a commit of the store that waits does not hold up the start", async () => {
  const store = await fixture.seeded({ notify: true, pollIntervalMillis: 0 });
  const reported: StoreNotification[] = [];
  const { listen } = await starting(store, (notification) => void reported.push(notification));
  const other = fixture.store({ table: store.config.table });
  const [committed] = await other.commit("s", [event("Came")], meta);
  const held = await fixture.hold(store);
  const own = store.commit("own", [event()], meta);
  const dispose = await listen();
  expect(reported).toEqual([]);
  await held.release();
  await own;
  await expect.poll(() => reported).toEqual([{ stream: "s", events: [{ id: committed?.id, name: "Came" }] }]);
  await dispose?.();
});
