/** Options of reads that this release does not know: they are left out, and the log says so once. */
import { log } from "@rotorsoft/act";
import { expect, onTestFinished, test, vi } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

function warnings(): () => string[] {
  const said = vi.spyOn(log(), "warn").mockImplementation(() => {});
  onTestFinished(() => said.mockRestore());
  return () => said.mock.calls.map(([first]) => String(first));
}

test("an option that a read does not know is told once for each verb and name, and is left out", async () => {
  const said = warnings();
  const store = await fixture.seeded();
  await store.commit("s", [event(), event()], meta);
  await store.subscribe([{ stream: "r" }]);
  for (let times = 0; times < 3; times++) {
    const query: object = {
      created_befor: new Date(0),
      stream: "s",
      correlation: undefined,
      actor: undefined,
    };
    expect(await store.query(() => {}, query)).toBe(2);
    const filter: object = { source: "nobody" };
    expect((await store.query_stats(filter, { ...({ tails: true } as object) })).size).toBe(1);
    expect(await store.query_streams(() => {}, { ...({ blokked: true } as object) })).toMatchObject({
      count: 1,
    });
  }
  const of = `[act-drizzle] "${store.config.schema}"."${store.config.table}"`;
  expect(said()).toEqual([
    expect.stringContaining(
      `${of}: query ignores "created_befor", which it does not know; its options are stream, `,
    ),
    expect.stringContaining(`${of}: query_stats ignores "source", `),
    expect.stringContaining(`${of}: query_stats ignores "tails", `),
    expect.stringContaining(`${of}: query_streams ignores "blokked", `),
  ]);
});

test("names that a user sends do not fill the log", async () => {
  const said = warnings();
  const store = await fixture.seeded();
  for (let n = 0; n < 50; n++) await store.query(() => {}, { [`${n}${"x".repeat(1_000)}`]: 1 } as object);
  expect(said()).toHaveLength(20);
  expect(Math.max(...said().map(({ length }) => length))).toBeLessThan(400);
});
