/** The two marks in the events table's comment: which releases can work on the tables. Needs no server. */
import { expect, test } from "vitest";
import {
  actionFor,
  OLDEST,
  OLDEST_COMPATIBLE,
  recordOf,
  VERSION,
  withRecord,
} from "../../src/migrations/record.ts";
import { migrations } from "../../src/migrations/sql.generated.ts";

const marks = `[act-drizzle schema ${OLDEST}] [act-drizzle migrated ${VERSION}]`;
/** How release 0.1.0 reads the comment. */
const readBy010 = (comment: string) => Number(/\[act-drizzle schema (\d+)\]/.exec(comment)?.[1]);

test("every migration names the oldest release that can go on, which is its own at most", () => {
  expect(Object.keys(OLDEST_COMPATIBLE)).toEqual(migrations.map(({ tag }) => tag));
  for (const [n, { tag }] of migrations.entries()) {
    expect(OLDEST_COMPATIBLE[tag]).toBeGreaterThanOrEqual(2);
    expect(OLDEST_COMPATIBLE[tag]).toBeLessThanOrEqual(Math.max(n + 1, 2));
  }
});

test.each([
  ["[act-drizzle schema 2]", { oldest: 2, migrated: 2 }],
  ["[act-drizzle schema 2] [act-drizzle migrated 3]", { oldest: 2, migrated: 3 }],
  ["Ours. [act-drizzle migrated 12] Keep out. [act-drizzle schema 7]", { oldest: 7, migrated: 12 }],
  ["[act-drizzle migrated 3]", undefined],
  ["[act-drizzle schema two]", undefined],
  ["", undefined],
  [null, undefined],
  [undefined, undefined],
])("the comment %j records %j", (comment, record) => {
  expect(recordOf(comment)).toEqual(record);
});

test.each([
  ["no record", undefined, 3, "migrate"],
  ["tables of an older release", { oldest: 2, migrated: 2 }, 3, "migrate"],
  ["its own tables", { oldest: 2, migrated: 3 }, 3, "nothing"],
  ["tables of a newer release, on which it can work", { oldest: 2, migrated: 9 }, 3, "nothing"],
  ["the oldest that can work", { oldest: 3, migrated: 9 }, 3, "nothing"],
  ["tables of a newer release, on which it can't work", { oldest: 4, migrated: 9 }, 3, "refuse"],
  ["tables of a newer release that records no second mark", { oldest: 4, migrated: 4 }, 3, "refuse"],
] as const)("a release that finds %s", (_, record, version, action) => {
  expect(actionFor(record, version)).toBe(action);
});

test.each([
  ["nothing", null, marks],
  ["nothing", undefined, marks],
  ["a user's words", "The ledger's log.", `The ledger's log. ${marks}`],
  ["an older release's mark", "[act-drizzle schema 2]", marks],
  [
    "an older release's mark among words",
    "Ours. [act-drizzle schema 1] Keep out.",
    `Ours. ${marks} Keep out.`,
  ],
  ["both marks, apart", "A [act-drizzle migrated 1] B [act-drizzle schema 1] C", `A B ${marks} C`],
  ["the second mark alone", "[act-drizzle migrated 9]", marks],
  ["words that a replacement would expand", "$& $1 [act-drizzle schema 1] $'", `$& $1 ${marks} $'`],
  ["what it wrote itself", `Ours. ${marks}`, `Ours. ${marks}`],
])("after a migration, a comment with %s says the rest and both marks", (_, before, after) => {
  expect(withRecord(before)).toBe(after);
});

test("releases that a newer release excluded stay excluded, and the newer release has to migrate again", () => {
  const newer = `[act-drizzle schema ${OLDEST + 1}] [act-drizzle migrated ${VERSION + 5}]`;
  expect(recordOf(withRecord(newer))).toEqual({ oldest: OLDEST + 1, migrated: VERSION });
});

test("release 0.1.0, which knows schema 2 and one mark, finds the tables of this one up to date", () => {
  expect(readBy010(withRecord(null))).toBe(2);
  expect(readBy010(withRecord("Ours. [act-drizzle schema 2]"))).toBe(2);
});
