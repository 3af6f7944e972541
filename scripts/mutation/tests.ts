/** The tests that mutants are given to: together they touch everything. The slow ones come last, if at all. */

export const TESTS: readonly string[] = [
  "test/conformance/postgres.test.ts",
  "test/codec/arrays.test.ts",
  "test/codec/envelope.test.ts",
  "test/codec/numbers.test.ts",
  "test/codec/paths.test.ts",
  "test/codec/translations.test.ts",
  "test/codec/dates.test.ts",
  "test/codec/encryption.test.ts",
  "test/codec/patterns.test.ts",
  "test/events/operations.test.ts",
  "test/events/answers.test.ts",
  "test/events/commits.test.ts",
  "test/events/encode.test.ts",
  "test/events/questions.test.ts",
  "test/events/queue.test.ts",
  "test/events/hearing.test.ts",
  "test/events/lost.test.ts",
  "test/events/notifier.test.ts",
  "test/events/paging.test.ts",
  "test/events/reads.test.ts",
  "test/events/restores.test.ts",
  "test/events/statements.test.ts",
  "test/events/triggers.test.ts",
  "test/streams/leases.test.ts",
  "test/streams/marks.test.ts",
  "test/streams/order.test.ts",
  "test/input/refusals.test.ts",
  "test/input/types.test.ts",
  "test/input/text.test.ts",
  "test/input/numbers.test.ts",
  "test/input/empty.test.ts",
  "test/input/restore.test.ts",
  "test/input/edges.test.ts",
  "test/input/secrets.test.ts",
  "test/races/neighbours.test.ts",
  "test/races/deadlocks.test.ts",
  "test/races/claims.test.ts",
  "test/races/truncate.test.ts",
  "test/connections/writer.test.ts",
  "test/faults/ids.test.ts",
];

/** Every verb's matter. */
const EVERY = /test\/events\/operations/;

/** Whose matter a file is, by the names of tests: they come first. */
const TOPICS: readonly (readonly [file: string, tests: RegExp])[] = [
  ["events/append", / (?:M\d|D2|N\d)|commits|test\/events\/(?:statements|answers)|neighbours/],
  ["events/commit", / M\d| commit|test\/events\/commits|test\/faults\/ids/],
  ["events/queue", /test\/events\/(?:queue|lost|triggers)| M\d|writer|C8/],
  ["events/recover", /test\/events\/(?:answers|lost|statements|questions)|writer|C10/],
  ["events/encode", /test\/events\/encode| (?:D1|P\d|M6)/],
  ["events/row", /test\/events\/answers| (?:D\d|P\d)|pii/],
  ["events/query", / Q\d|query |load|reads|paging/],
  ["events/stats", / R[34]|query_stats|reads/],
  ["events/truncate", / (?:R[56]|M9)|truncate/],
  ["events/restore", / R7|restore/],
  ["events/notify", / N\d|notify|test\/events\/(?:answers|hearing|notifier)/],
  ["events/forget", / P\d|forget/],
  ["streams/claim", / L[1-5]|test\/streams/],
  ["streams/ack", / L[67]|ack|test\/streams/],
  ["streams/block", / L[89]|block|test\/streams/],
  ["streams/lease", / L\d|test\/streams/],
  ["streams/subscribe", / S\d|subscribe|test\/streams/],
  ["streams/positions", / R[123]|query_streams/],
  ["streams/", / (?:L1[01]|R[12])|test\/streams|filter|defer|reset|unblock|prioritize/],
  ["codec/pattern", /test\/codec\/(?:translations|patterns)| Q[89]/],
  ["codec/conditions", /test\/codec\/(?:numbers|patterns)| Q[89]/],
  ["codec/json", /test\/codec\/paths| D1| M6/],
  ["codec/encryption", /test\/codec\/(?:envelope|encryption)/],
  ["codec/", /test\/codec\/(?:arrays|numbers)|refusals/],
];

export function isTopical(file: string, test: string): boolean {
  return EVERY.test(test) || (TOPICS.find(([part]) => file.includes(part))?.[1].test(test) ?? false);
}
