/** Times: the moment in local time, and how long ago it was. */
import { useSyncExternalStore } from "react";
import { ago, localTime } from "../data/format.ts";

let now = Date.now();
const listeners = new Set<() => void>();
let timer: number | undefined;

/** One clock for all relative times on the page ({@link Ago}), which ticks only while one of them is shown. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= window.setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export const useNow = (): number => useSyncExternalStore(subscribe, () => now);

export const Time = ({ at, ms }: { readonly at: string; readonly ms?: boolean }) => (
  <time dateTime={at} title={at} className="nowrap">
    {localTime(at, { ms })}
  </time>
);

export function Ago({ at }: { readonly at: string }) {
  const current = useNow();
  return (
    <time dateTime={at} title={localTime(at, { ms: true })} className="nowrap">
      {ago(at, Math.max(current, Date.now()))}
    </time>
  );
}
