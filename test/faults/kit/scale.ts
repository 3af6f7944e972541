/** How long faults last: `FAULTS=long` as in the report, else a taste of each, so that `npm test` stays short. */
export const LONG = process.env.FAULTS === "long";

export const scale = <T>(short: T, long: T): T => (LONG ? long : short);

/** A test's time limit, in ms: the long faults last minutes. */
export const TIMEOUT = scale(60_000, 1_200_000);
