/**
 * Rows that the server sends before its statement fails, as when a cancel comes between two rows. postgres.js 3.4.9
 * counts them, and does not start anew: the next answer on that connection begins with a place that holds nothing.
 */
import { expect, onTestFinished, test } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import { failureOf, useDatabase } from "./fixture.ts";

const fixture = useDatabase();

test.each([
  { params: [], prepare: true },
  { params: [3], prepare: true },
  { params: [3], prepare: false },
])(
  "a statement that fails behind its first row leaves the next answer whole: $params, prepare: $prepare",
  async ({ params, prepare }) => {
    // One connection for reads: both statements are on it, unless it was given up.
    const layer = new StoreConnections(resolveOptions({ ...fixture.parts, max: 2, prepare }));
    onTestFinished(() => layer.close());
    const rows = (last: string) => `select 6 / (2 - n) as n from generate_series(1, ${last}) as n`;
    const text = rows(params.length > 0 ? "$1::int" : "3");
    const { error } = await failureOf(layer.read("query", { text, params }));
    expect(error).toMatchObject({ cause: { code: "22012" } });

    const next = await layer.read("query", { text: "select 5 as n" });
    expect([...next]).toEqual([{ n: 5 }]);
  },
);
