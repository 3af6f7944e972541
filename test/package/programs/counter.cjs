/** The same as counter.mjs, required. */
const { act, ConcurrencyError, state, store } = require("@rotorsoft/act");
const { DatabaseError, PostgresStore } = require("act-drizzle");
const { actTables } = require("act-drizzle/schema");
const { z } = require("zod");

async function main() {
  const options = JSON.parse(process.env.STORE_OPTIONS ?? "{}");
  store(new PostgresStore(options));
  await store().seed();

  const Counter = state({ Counter: z.object({ count: z.number() }) })
    .init(() => ({ count: 0 }))
    .emits({ Incremented: z.object({ amount: z.number() }) })
    .patch({ Incremented: ({ data }, s) => ({ count: s.count + data.amount }) })
    .on({ increment: z.object({ by: z.number() }) })
    .emit((action) => ["Incremented", { amount: action.by }])
    .build();

  const app = act().withState(Counter).build();
  const target = { stream: "counter1", actor: { id: "1", name: "u" } };
  await app.do("increment", target, { by: 5 });
  await app.do("increment", target, { by: 2 });
  const snap = await app.load(Counter, "counter1");
  const conflict = await app
    .do("increment", { ...target, expectedVersion: 0 }, { by: 1 })
    .catch((error) => error);
  const missing = await new PostgresStore({ ...options, table: "absent" })
    .query(() => {})
    .catch((error) => error.cause);

  console.log(
    JSON.stringify({
      state: snap.state,
      conflict: conflict instanceof ConcurrencyError,
      missing: missing instanceof DatabaseError,
      tables: Object.keys(actTables()),
    }),
  );
}

main();
