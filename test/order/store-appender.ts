/** A process that appends with PostgresStore. */
import { ConcurrencyError } from "@rotorsoft/act";
import { PostgresStore } from "../../src/index.ts";
import { type AppenderOptions, appendAll, report } from "./appenders.ts";

const options: AppenderOptions = JSON.parse(process.argv[2] ?? "{}");
const { url, schema, table, writer } = options;
const store = new PostgresStore({ url, schema, table });
const meta = { correlation: `writer-${writer}`, causation: {} };

const appended = await appendAll(options, async (stream, events, expected) => {
  const messages = Array.from({ length: events }, (_, k) => ({ name: "Appended", data: { writer, k } }));
  try {
    const committed = await store.commit(stream, messages, meta, expected);
    return committed.map(({ id }) => id);
  } catch (error) {
    if (error instanceof ConcurrencyError) return { head: error.lastVersion };
    throw error;
  }
});
await store.dispose();
report(appended);
