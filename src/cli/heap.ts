/** Keeps the heap small in a command that moves millions of events: V8 collects old garbage late while memory is free. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const MAX_BYTES = 48_000_000;
/** Least time between two collections, which take about 20 ms each. */
const PAUSE_MS = 200;

/** The returned function collects garbage if the heap has grown; call it often. Only for processes that are our own. */
export function keepHeapSmall(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  let last = 0;
  return () => {
    const now = performance.now();
    if (typeof collect !== "function" || now - last < PAUSE_MS) return;
    if (getHeapStatistics().total_heap_size < MAX_BYTES) return;
    collect();
    last = performance.now();
  };
}
