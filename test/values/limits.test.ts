/** What lies at the edges: values that write their own JSON, patterns that no server could read. */
import { ValidationError } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** A value as libraries of money or time bring them: it says itself what it is as JSON. */
const own = (json: unknown) => ({ toJSON: () => json });

describe("values with a toJSON of their own", () => {
  test("come back as what they wrote, Dates in it as Dates", async () => {
    const store = await fixture.seeded();
    const at = new Date("2024-02-29T12:00:00.000Z");
    await store.commit(
      "s",
      [event("E", { plain: own("x"), bare: own(at), deep: own({ at, list: [at] }) })],
      meta,
    );
    const read: unknown[] = [];
    await store.query(({ data }) => void read.push(data));
    expect(read).toEqual([{ plain: "x", bare: {}, deep: { at, list: [at] } }]);
  });
});

describe("patterns that no server could read", () => {
  const deep = `${"(".repeat(20_000)}a${")".repeat(20_000)}`;
  for (const [what, pattern] of [
    ["U+0000", "a\0b"],
    ["half a surrogate pair", "a\ud800"],
    ["groups nested beyond measure", deep],
  ] as const)
    test(`${what}: refused by every verb that takes one, without a word of the pattern`, async () => {
      const store = await fixture.seeded();
      const verbs = [
        () => store.query(() => {}, { stream: pattern }),
        () => store.query_stats({ stream: pattern }),
        () => store.query_streams(() => {}, { source: pattern }),
        () => store.reset({ stream: pattern }),
      ];
      for (const verb of verbs) {
        const error = await verb().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(ValidationError);
        expect(String(error)).not.toContain("((((");
      }
    });
});

test("a stored source that is no pattern at all is a hint too many, not an error", async () => {
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "broken", source: "([" },
    { stream: "other", source: "^y$" },
  ]);
  const seen: string[] = [];
  await store.query_streams(({ stream }) => void seen.push(stream), { source_matches: ["x"] });
  expect(seen).toEqual(["broken"]);
});
