/**
 * A call of several steps has one deadline: an instant of `performance.now()` that is passed from step to step, so that
 * no step starts with the full time again. Infinity is no deadline.
 */

/** The instant `ms` from now; 0 is never. */
export const instantIn = (ms: number): number => (ms > 0 ? performance.now() + ms : Number.POSITIVE_INFINITY);

/** The ms until `end`, at least 1; 0 (no limit) if `end` is Infinity. */
export const msUntil = (end: number): number =>
  end === Number.POSITIVE_INFINITY ? 0 : Math.max(1, end - performance.now());

/** The smaller of two limits in ms. 0 is no limit. */
export const lessOf = (one: number, other: number): number =>
  one > 0 && other > 0 ? Math.min(one, other) : one || other;
