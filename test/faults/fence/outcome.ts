/** What every test of this folder asks in the end: who wrote without the lock, and what was done though it had failed. */
import { expect } from "vitest";
import type { FaultRun } from "../kit/fault-run.ts";
import type { Verdict } from "../kit/verify.ts";
import type { Book } from "./book.ts";
import type { LockNotes } from "./notes.ts";

type Outcome = Parameters<FaultRun["conclude"]>[1] & {
  readonly notes: readonly LockNotes[];
  readonly books?: readonly Book[];
};

/** All of it is told, even where the first of it fails the test. */
export async function concludeFence(
  faultRun: FaultRun,
  url: string,
  { notes, books = [], ...figures }: Outcome,
): Promise<Verdict> {
  for (const book of books) await book.close();
  const unlocked = (await Promise.all(notes.map((one) => one.rowsWithoutLock()))).flat();
  const wrong = books.flatMap((book) => book.wrong);
  const told = books.map((book) => book.told);
  console.log(JSON.stringify({ rowsWithoutLock: unlocked.length, wrong: wrong.length, told }));
  expect.soft(unlocked.slice(0, 10), "rows without the lock, some of them").toEqual([]);
  expect.soft(wrong.slice(0, 10), "truncates and restores").toEqual([]);
  for (const { done } of told) expect.soft(done).toBeGreaterThan(0);
  return faultRun.conclude(url, figures);
}
