/**
 * A process with a store of its own, which does what it is told (clients.ts). Argument: the store's options, as JSON.
 * What it is busy with, or how it is stopped, delays nobody else's event loop.
 */
import { connect } from "node:net";
import { PostgresStore } from "../../../src/index.ts";
import { type FromClient, outcomeOf, type Tally, type ToClient } from "./tally.ts";

const store = new PostgresStore(JSON.parse(process.argv[2] ?? "{}"));
const meta = { correlation: "client", causation: {} };
const tell = (message: FromClient) => process.send?.(message);

/** Keeps the event loop busy, as a handler that calculates. */
function calculate(millis: number): void {
  const end = performance.now() + millis;
  while (performance.now() < end);
}

let tally: Tally = { called: 0, settled: {}, slowest: 0 };

/** One commit, entered into the tally. */
async function commitOne(stream: string, events: number, bytes: number): Promise<void> {
  const data = bytes > 0 ? { fill: "x".repeat(bytes) } : {};
  const start = performance.now();
  const code = await outcomeOf(
    store.commit(
      stream,
      Array.from({ length: events }, () => ({ name: "Told", data })),
      meta,
    ),
  );
  const slowest = Math.max(tally.slowest, performance.now() - start);
  tally = { ...tally, settled: { ...tally.settled, [code]: (tally.settled[code] ?? 0) + 1 }, slowest };
}

let over = false;

process.on("message", async (message: ToClient) => {
  if ("commit" in message) {
    const { calls, events, bytes } = message.commit;
    tally = { called: calls, settled: {}, slowest: 0 };
    const all = Array.from({ length: calls }, (_, k) => commitOne(`client-${k}`, events, bytes));
    await Promise.all(all);
    tell({ done: tally });
  }
  // What is refused at once has been entered by then.
  if ("tally" in message) setImmediate(() => tell({ tally }));
  if ("loop" in message) {
    const { bytes } = message.loop;
    tally = { called: 0, settled: {}, slowest: 0 };
    over = false;
    while (!over) {
      tally = { ...tally, called: tally.called + 1 };
      await commitOne("loop", 1, bytes);
    }
    tell({ done: tally });
  }
  if ("end" in message) over = true;
  if ("block" in message) {
    tell("blocked");
    // The message leaves first.
    setImmediate(() => calculate(message.block));
  }
  if ("serve" in message) {
    const { port, sockets, millis } = message.serve;
    for (let k = 0; k < sockets; k++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("data", () => {
        calculate(millis);
        socket.write("x");
      });
      socket.write("x");
    }
  }
});
tell("ready");
