/** The smallest app: one state, one action, one event, a store on PostgreSQL. */
import { act, ConsoleLogger, dispose, log, state, store } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import { z } from "zod";

const Counter = state({ Counter: z.object({ count: z.number() }) })
  .init(() => ({ count: 0 }))
  .emits({ Incremented: z.object({ amount: z.number() }) })
  .patch({ Incremented: ({ data }, { count }) => ({ count: count + data.amount }) })
  .on({ increment: z.object({ by: z.int().min(1) }) })
  .emit(({ by }) => ["Incremented", { amount: by }])
  .build();

const url = process.env.DATABASE_URL ?? "postgres://postgres:postgres@localhost:5432/postgres";
log(new ConsoleLogger({ level: "error" }));
store(new PostgresStore({ url, schema: "act_counter" }));
await store().seed();

const app = act().withState(Counter).build();
// Two first actions on one new stream both succeed, one behind the other: Act commits the first event of a stream without
// a check. Where there must be one only, say expectedVersion: -1, as examples/orders does; the second gets a ConcurrencyError.
const target = { stream: "counter1", actor: { id: "1", name: "User" } };
await app.do("increment", target, { by: 1 });
await app.do("increment", target, { by: 2 });

await app.query({ stream: "counter1", stream_exact: true }, ({ version, name, data }) =>
  console.log(`${version}  ${name} ${JSON.stringify(data)}`),
);
console.log("count:", (await app.load(Counter, "counter1")).state.count);

await dispose()(); // closes the store's connections and ends the process
