/** The two texts of the append on a server: a batch in which no stream occurs twice has the same outcome by both. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Append, insertTexts, UNSATISFIABLE_VERSION } from "../../src/events/append.ts";
import type { Query, Row } from "../../src/postgres/index.ts";
import { append, useLog } from "./append-fixture.ts";
import { paramsOf } from "./fixture.ts";

const openLog = useLog();

const RUNS = 60;
const STREAMS = ["a", "b", "c", "d {e}, f'g", "A", "é"];

const commits = fc
  .uniqueArray(
    fc.record({
      stream: fc.constantFrom(...STREAMS),
      expected: fc.constantFrom(null, UNSATISFIABLE_VERSION, -1, 0, 1, 2, 3),
      size: fc.integer({ min: 1, max: 3 }),
    }),
    { selector: ({ stream }) => stream, minLength: 1 },
  )
  .map((batch) =>
    batch.map(({ stream, expected, size }) =>
      append(stream, expected, ...Array.from({ length: size }, (_, n) => `e${n}`)),
    ),
  );

/** Ids are drawn from a sequence, which a rollback does not set back. */
function relative(row: Row | undefined): object {
  const ids = String(row?.ids ?? "").match(/\d+/g) ?? [];
  return { ...row, created: 0, ids: ids.map((id) => Number(id) - Number(ids[0])) };
}

test("a batch without repeated streams is decided and written alike by both texts", async () => {
  const { send, names, queriesOf, rolledBack } = await openLog();
  await send([append("a", null, "a0"), append("A", null, "A0", "A1"), append("b", null, "b0", "b1", "b2")]);
  await send([append(STREAMS[3] ?? "", -1, "d0", "d1", "d2", "d3")]);
  const written: Query = {
    text: `select stream, version, name, data, meta, pii, dates, token from ${names.events} order by id`,
  };
  const check = async (batch: readonly Append[], headBy: "id" | "version") => {
    const [lock, insert] = queriesOf(batch, { headBy });
    const texts = insertTexts(names, { announce: false, headBy, sequence: null, deferred: false }, "me");
    expect(insert.text).toBe(texts.distinct);
    const inTurn: Query = {
      ...insert,
      text: texts.repeated,
      params: [...paramsOf(insert), `{${batch.map(() => 1)}}`],
    };
    const [, , ...answers] = await rolledBack([
      lock,
      { text: "savepoint before" },
      insert,
      written,
      { text: "rollback to savepoint before" },
      inTurn,
      written,
    ]);
    const [decided, log, , decidedInTurn, logInTurn] = answers;
    expect(relative(decidedInTurn?.[0])).toEqual(relative(decided?.[0]));
    expect(logInTurn).toEqual(log);
  };
  await fc.assert(fc.asyncProperty(commits, fc.constantFrom("id", "version"), check), { numRuns: RUNS });
});
