/** What an app that is bundled into one file may do: the store, its tables, and the tables by themselves. */
import { PostgresStore } from "act-drizzle";
import { actTables } from "act-drizzle/schema";

const attempt = (run) => {
  try {
    return Object.keys(run());
  } catch (error) {
    return error.message;
  }
};
console.log(JSON.stringify([attempt(() => new PostgresStore().tables), attempt(() => actTables())]));
