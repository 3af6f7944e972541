/** Timers that let the process read its sockets first: after a blocked event loop the answer may be there, unread. */

/** The longest delay for a timer, in ms. Node fires a timer with a longer delay at once. */
export const LONGEST_MS = 2_147_000_000;

/**
 * Calls `work` after `ms`, but reads the sockets first. Node runs timers before sockets, so after a blocked event loop a
 * deadline would pass although the answer is there. `arriving` returns how many bytes have been read: while the number
 * grows, `work` waits, for at most a second. With 0 ms `work` is never called. Returns a function that cancels the timer.
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
  // An unreferenced timer does not keep the process alive.
  if (unref) timer.unref();
  return () => {
    clearTimeout(timer);
    if (immediate) clearImmediate(immediate);
    timer = undefined;
  };
}
