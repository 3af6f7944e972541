/**
 * A worker process that reacts to what the ledger commits. Arguments: the store's options, as JSON, and
 * `{ poll, leaseMillis, work }` in ms. It says `start` and `done` for each event, with a handler's work in between.
 */
import { dispose, store } from "@rotorsoft/act";
import { PostgresStore } from "../../../src/index.ts";
import { react } from "./app.ts";

const [options = "{}", pace = "{}"] = process.argv.slice(2);
const { poll, leaseMillis, work } = JSON.parse(pace);
// The framework disposes of it when the process is told to end, after the app.
const own = store(new PostgresStore(JSON.parse(options)));
const reactor = react(
  own,
  async ({ token, part }) => {
    console.log(`start ${token}/${part}`);
    // The work that a handler does, for a SIGKILL to come in the middle of.
    await new Promise((resolve) => setTimeout(resolve, work));
    console.log(`done ${token}/${part}`);
  },
  { poll, leaseMillis },
);
dispose(() => reactor.shutdown());
console.log("ready");
