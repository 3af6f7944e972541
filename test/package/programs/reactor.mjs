/** Two processes over one log. `commit N` increments N times; `react N` copies N increments, woken by NOTIFY alone. */
import { act, dispose, state, store } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import { z } from "zod";

const [role, count] = process.argv.slice(2);
const postgres = new PostgresStore({ ...JSON.parse(process.env.STORE_OPTIONS ?? "{}"), notify: true });
const say = (line) => console.log(line);
store({
  ...postgres,
  async notify(handler) {
    const stop = await postgres.notify(handler);
    say("listening");
    return stop;
  },
});
await store().seed();

const actor = { id: "1", name: "reactor" };
const Counter = state({ Counter: z.object({ count: z.number() }) })
  .init(() => ({ count: 0 }))
  .emits({ Incremented: z.object({ amount: z.number() }) })
  .patch({ Incremented: ({ data }, s) => ({ count: s.count + data.amount }) })
  .on({ increment: z.object({ by: z.number() }) })
  .emit((action) => ["Incremented", { amount: action.by }])
  .build();
const Copy = state({ Copy: z.object({ sum: z.number(), times: z.number() }) })
  .init(() => ({ sum: 0, times: 0 }))
  .emits({ Copied: z.object({ amount: z.number() }) })
  .patch({ Copied: ({ data }, s) => ({ sum: s.sum + data.amount, times: s.times + 1 }) })
  .on({ copy: z.object({ amount: z.number() }) })
  .emit((action) => ["Copied", action])
  .build();

const end = async () => {
  await dispose()();
  process.exit();
};

if (role === "commit") {
  const app = act().withState(Counter).build();
  for (let n = 1; n <= Number(count); n++) await app.do("increment", { stream: "far", actor }, { by: n });
  await end();
}

const app = act()
  .withState(Counter)
  .withState(Copy)
  .on("Incremented")
  .do(async function copy(event, _stream, copying) {
    await copying.do("copy", { stream: "copy", actor }, { amount: event.data.amount }, event);
  })
  .to("copier")
  .build();
let woken = 0;
app.on("notified", () => woken++);
app.on("blocked", (leases) => say(`blocked ${leases[0]?.error}`));
app.on("acked", async () => {
  const { state: copied } = await app.load(Copy, "copy");
  if (copied.times < Number(count)) return;
  say(`copied ${JSON.stringify({ ...copied, woken: woken > 0 })}`);
  await end();
});
