/** dispose() lets the commits that were called before it end, and with them the reads of their inline handlers. */
import { expect, test } from "vitest";
import { inline } from "../../../src/projections/index.ts";
import { deposited, events, gate, meta, useModels } from "./fixture.ts";

const { fixture } = useModels();

test("a handler may still read the store while dispose() waits for its commit", async () => {
  const begun = gate();
  const go = gate();
  const found: number[] = [];
  const store = await fixture.seeded({
    inline: inline({
      events,
      on: {
        Deposited: async () => {
          begun.open();
          await go.opened;
          found.push(await store.query(() => {}));
        },
      },
    }),
  });
  await store.commit("s", [{ name: "Opened", data: {} }], meta);
  const first = store.commit("s", [deposited(1)], meta);
  await begun.opened;
  // It goes out in the batch after the first one, when the first commit has ended.
  const second = store.commit("t", [deposited(2)], meta);
  const disposed = store.dispose();
  go.open();
  await expect(first).resolves.toHaveLength(1);
  await expect(second).resolves.toHaveLength(1);
  await disposed;
  expect(found).toEqual([1, 2]);
});
