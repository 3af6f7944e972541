/** Where worker.ts can be killed, in the order in which it passes. */
export const STEPS = [
  "claimed",
  "fetched",
  "positioned",
  "written",
  "committing",
  "committed",
  "acking",
  "acked",
] as const;
export type Step = (typeof STEPS)[number];
