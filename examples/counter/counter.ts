/** `npm run example:counter`: the smallest app. One state, one action, one event, a store on PostgreSQL. */
import { act, ConsoleLogger, log, state, store } from "@rotorsoft/act";
import { z } from "zod";
import { startPostgres } from "../../dev/postgres/index.ts";
import { PostgresStore } from "../../src/index.ts";

const Counter = state({ Counter: z.object({ count: z.number() }) })
  .init(() => ({ count: 0 }))
  .emits({ Incremented: z.object({ amount: z.number() }) })
  .patch({ Incremented: ({ data }, { count }) => ({ count: count + data.amount }) })
  .on({ increment: z.object({ by: z.int().min(1) }) })
  .emit(({ by }) => ["Incremented", { amount: by }])
  .build();

log(new ConsoleLogger({ level: "error" }));
// A server to run against: yours, or a temporary one from npm. Your app has only the two lines after it.
const server = await startPostgres({ url: process.env.DATABASE_URL, prefer: "embedded" });
store(new PostgresStore({ url: server.url, schema: "act_counter" }));
await store().seed();

const app = act().withState(Counter).build();
const target = { stream: "counter1", actor: { id: "1", name: "User" } };
await app.do("increment", target, { by: 1 });
await app.do("increment", target, { by: 2 });

await app.query({ stream: "counter1", stream_exact: true }, ({ version, name, data }) =>
  console.log(`${version}  ${name} ${JSON.stringify(data)}`),
);
console.log("count:", (await app.load(Counter, "counter1")).state.count);

await app.shutdown();
await store().dispose();
await server.stop();
