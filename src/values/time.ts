/** The first and last point in time of a timestamptz, in ms since the epoch: 4713 BC (Julian day 0) and 294276 AD. */
const EARLIEST = -210_866_803_200_000;
const LATEST = 9_224_318_015_999_000;

/** The time in ms without its fraction, within the range of a timestamptz. */
export const toTime = (ms: number): number => Math.trunc(Math.max(EARLIEST, Math.min(LATEST, ms)));
