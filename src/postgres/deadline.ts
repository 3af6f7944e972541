/**
 * The deadline of a call that takes several steps is one instant of `performance.now()`, which is passed along: no step
 * gets the whole time anew. Infinity: none.
 */

/** The instant `ms` from now; 0 is never. */
export const instantIn = (ms: number): number => (ms > 0 ? performance.now() + ms : Number.POSITIVE_INFINITY);

/** ms that are left until `end`, for timers: 1 at least, and 0, which is no limit, where there is none. */
export const msUntil = (end: number): number =>
  end === Number.POSITIVE_INFINITY ? 0 : Math.max(1, end - performance.now());

/** The less of two limits in ms, of which 0 is none. */
export const lessOf = (one: number, other: number): number =>
  one > 0 && other > 0 ? Math.min(one, other) : one || other;
