/** A process that seeds new stores of one table when it is told to, and reports those that failed. */
import { PostgresStore } from "../../src/index.ts";
import type { BooterOptions, FromBooter } from "./booters.ts";

const { count, url, schema, table }: BooterOptions = JSON.parse(process.argv[2] ?? "{}");
const stores = Array.from({ length: count }, () => new PostgresStore({ url, schema, table, max: 2 }));

process.once("message", async () => {
  const settled = await Promise.allSettled(stores.map((store) => store.seed()));
  await Promise.all(stores.map((store) => store.dispose()));
  const failures = settled.flatMap((s) =>
    s.status === "rejected" ? [`${s.reason}: ${s.reason.cause}`] : [],
  );
  tell({ failures }, () => process.disconnect());
});
tell("ready");

function tell(message: FromBooter, sent = () => {}): void {
  process.send?.(message, sent);
}
