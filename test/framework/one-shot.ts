/** A process that commits one event, handles it by `settle()`, says so, and ends in the way that it is told to. */
import { once } from "node:events";
import { act, dispose, store } from "@rotorsoft/act";
import { PostgresStore } from "../../src/index.ts";
import { Account, actor } from "./account.ts";

export type OneShotOptions = {
  readonly url: string;
  readonly schema: string;
  readonly table: string;
  /** `app`: the framework disposes of everything. `store`: only the store is. `exit`: nothing is. */
  readonly end: "app" | "store" | "exit";
};
export type FromOneShot = { readonly ready: true } | { readonly settles: number };

const { url, schema, table, end }: OneShotOptions = JSON.parse(process.argv[2] ?? "{}");
const log = new PostgresStore({ url, schema, table });
store(log);
let handled = 0;
const app = act()
  .withState(Account)
  .on("Deposited")
  .do(async function work() {
    handled++;
  })
  .to("work")
  .build({ settleDebounceMs: 0 });

process.send?.({ ready: true } satisfies FromOneShot);
await once(process, "message");
await app.do("deposit", { stream: "a", actor }, { amount: 1 });
let settles = 0;
while (handled === 0) {
  await new Promise<void>((resolve) => {
    const done = () => {
      app.off("settled", done);
      resolve();
    };
    app.on("settled", done);
    app.settle();
  });
  settles++;
}
const said = new Promise((resolve) => process.send?.({ settles } satisfies FromOneShot, resolve));
await said;
if (end === "app") await dispose()();
if (end === "store") await log.dispose();
process.exit();
