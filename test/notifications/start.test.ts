/** How a listener starts. */
import { expect, test, vi } from "vitest";
import { contextOf } from "../../src/context.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("a connection of the pool is opened while LISTEN is on its way", async () => {
  const store = await fixture.seeded({ notify: true });
  const { connections } = contextOf(store);
  const confirmed = Promise.withResolvers<void>();
  const listen = connections.listen.bind(connections);
  vi.spyOn(connections, "listen").mockImplementation(async (options) => {
    await confirmed.promise;
    return listen(options);
  });
  const read = vi.spyOn(connections, "read");
  const started = store.notify?.(() => {});
  await expect.poll(() => read.mock.settledResults.map(({ type }) => type)).toEqual(["fulfilled"]);
  confirmed.resolve();
  await (await started)?.();
});
