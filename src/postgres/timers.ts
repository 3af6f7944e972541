/** Timers that give what has arrived already a chance: after a pause of the process it lies unread in the sockets. */

/** Node calls back at once for longer delays. */
export const LONGEST_MS = 2_147_000_000;

/**
 * Calls `work` after `ms`, once the sockets have been read: timers run before them, so after a blocked event loop
 * a deadline would strike although the answer is there. `arriving` says how many bytes have come so far: as long as
 * more do, it waits, for a second at most. 0 is never. The answer cancels.
 */
export function afterPoll(
  ms: number,
  work: () => void,
  arriving: () => number = () => 0,
  { unref = false }: { unref?: boolean } = {},
): () => void {
  if (ms <= 0) return () => {};
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  const look = (before: number, end: number) => {
    immediate = setImmediate(() => {
      const bytes = arriving();
      if (bytes !== before && performance.now() < end) look(bytes, end);
      else work();
    });
  };
  timer = setTimeout(() => look(arriving(), performance.now() + 1_000), Math.min(ms, LONGEST_MS));
  // The process may end before.
  if (unref) timer.unref();
  return () => {
    clearTimeout(timer);
    if (immediate) clearImmediate(immediate);
    timer = undefined;
  };
}
