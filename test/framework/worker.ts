/**
 * A process with an app of its own, as a service would run it: the store is the global one, signals end it.
 * It settles only when its store's listener wakes it, or when it is told to; it never polls.
 */
import { act, NonRetryableError, store } from "@rotorsoft/act";
import postgres from "postgres";
import { PostgresStore } from "../../src/index.ts";
import { Account, actor } from "./account.ts";

export type WorkerOptions = {
  readonly url: string;
  readonly schema: string;
  readonly table: string;
  readonly name: string;
  /** Each handler says where it is, and waits for "go". */
  readonly hold: boolean;
  readonly leaseMillis: number;
  /** Streams handled at once. */
  readonly streamLimit: number;
  /** Handlers fail with an error that is not retried. */
  readonly fail: boolean;
};

export type ToWorker =
  | { readonly deposit: readonly string[]; readonly amount: number }
  | { readonly settle: true }
  | { readonly go: true };
export type FromWorker =
  | { readonly entered: number }
  | { readonly deposited: number }
  | { readonly woken: true };

const { url, schema, table, name, hold, leaseMillis, streamLimit, fail }: WorkerOptions = JSON.parse(
  process.argv[2] ?? "{}",
);
store(new PostgresStore({ url, schema, table, notify: true, application_name: `${table}-${name}` }));
const sql = postgres(url, { max: 4, onnotice: () => {} });
const tell = (message: FromWorker) => process.send?.(message);

let go = () => {};
const released = new Promise<void>((resolve) => {
  go = resolve;
});

const app = act()
  .withState(Account)
  .withLane({ name: "work", leaseMillis, streamLimit })
  .on("Deposited")
  .do(async function work(event, target) {
    tell({ entered: event.id });
    if (hold) await released;
    if (fail) throw new NonRetryableError("poison");
    await sql`insert into work (target, event, by) values (${`${table}-${target}`}, ${event.id}, ${name})`;
  })
  .to(({ stream }) => ({ target: `of-${stream}`, source: stream, lane: "work" as const }))
  .build({ settleDebounceMs: 0 });
app.on("notified", () => tell({ woken: true }));

process.on("message", async (message: ToWorker) => {
  if ("go" in message) go();
  if ("settle" in message) app.settle();
  if ("deposit" in message) {
    const { deposit, amount } = message;
    await Promise.all(deposit.map((stream) => app.do("deposit", { stream, actor }, { amount })));
    tell({ deposited: deposit.length });
  }
});
