/** The tests that mutants are given to: quick ones, which together touch everything. */

export const CONFORMANCE = "test/conformance/postgres.test.ts";

export const WARM: readonly string[] = [
  CONFORMANCE,
  "test/codec/arrays.test.ts",
  "test/codec/envelope.test.ts",
  "test/codec/numbers.test.ts",
  "test/codec/paths.test.ts",
  "test/codec/translations.test.ts",
  "test/codec/dates.test.ts",
  "test/codec/encryption.test.ts",
  "test/codec/patterns.test.ts",
  "test/input/refusals.test.ts",
  "test/input/types.test.ts",
  "test/input/text.test.ts",
  "test/input/numbers.test.ts",
  "test/input/empty.test.ts",
  "test/input/restore.test.ts",
  "test/input/secrets.test.ts",
  "test/races/neighbours.test.ts",
  "test/races/claims.test.ts",
  "test/races/truncate.test.ts",
  "test/connections/writer.test.ts",
];
