/** What `act-drizzle/admin` answers in an app that is bundled into one file. */
import { PostgresStore } from "act-drizzle";
import { Admin } from "act-drizzle/admin";

async function main() {
  const store = new PostgresStore(JSON.parse(process.env.STORE_OPTIONS ?? "{}"));
  await store.seed();
  await store.commit("s", [{ name: "A", data: {} }], { correlation: "c", causation: {} });
  await store.subscribe([{ stream: "reaction", source: "s", correlated_at: 1 }]);
  const admin = new Admin(store);
  const { events } = await admin.overview();
  const [behind] = await admin.lag();
  const found = await admin.doctor();
  await store.drop();
  await store.dispose();
  console.log(JSON.stringify([events.lastId, behind?.stream, found.map(({ severity }) => severity)]));
}

void main();
