// The tests of node.mjs and beside.mjs, which `node --test` runs in two processes at once.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { actor, bank } from "../bank.ts";

for (let n = 0; n < 3; n++)
  test(`a deposit of ${n} is in the read model`, async () => {
    const { kit, read } = await bank();
    try {
      await kit.scenario({
        given: { a: [{ name: "Opened", data: { owner: "Ann" } }] },
        when: (app) => app.do("deposit", { stream: "a", actor }, { amount: n }),
        thenEvents: [{ name: "Deposited", data: { amount: n } }],
      });
      assert.deepEqual(await read(), [{ account: "a", balance: n }]);
    } finally {
      await kit.dispose();
    }
  });

let shared;
before(async () => {
  shared = await bank();
});
after(() => shared.kit.dispose());
test("a kit may be shared by the tests of a file", async () => {
  await shared.kit.given("b", { name: "Opened", data: { owner: "Bob" } });
  await shared.kit.drained();
  assert.equal((await shared.kit.events("b")).length, 1);
});
