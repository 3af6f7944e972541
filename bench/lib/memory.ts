/** Memory of this process, from /proc. */
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collects what loading the modules has left behind, and forgets the peak of that. */
export function forgetStartUp(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Without the right to do so the peak includes the start.
  }
}

/** VmHWM in MiB: exact, where a sampling timer sleeps while a large result is parsed. */
export function peakRss(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Number(kilobytes) / 1_024;
}
