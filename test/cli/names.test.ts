/** What commands print of very long names. */
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { commandOn, widest } from "./command.ts";

const fixture = useDatabase();

test("no line of text is wider than 80 columns, but names are whole somewhere", async () => {
  const store = await fixture.seeded();
  const long = "a-very-long-name-".repeat(12);
  const lane = `lane-${"l".repeat(60)}`;
  const holder = `worker-${"w".repeat(60)}`;
  await store.commit(long, [{ name: "SomethingWithALongNameHappened", data: {} }], {
    correlation: long,
    causation: {},
  });
  await store.subscribe([{ stream: long, correlated_at: 1, lane }]);
  await store.claim(1, 0, holder, 60_000);
  const command = commandOn(fixture, store);
  for (const args of [["status"], ["lag"], ["events"], ["event", "1"], ["stream", long], ["trace", long]]) {
    const { out } = await command(...args);
    const others = out
      .split("\n")
      .filter((line) => ![long, lane, holder].some((name) => line.includes(name)));
    expect(widest(others.join("\n")), args[0]).toBeLessThanOrEqual(80);
    if (args[0] !== "status") expect(out, args[0]).toContain(long);
    if (args[0] === "event") expect(out).toMatch(new RegExp(`Correlation +${long}\n`));
    if (args[0] === "lag") for (const name of [lane, holder]) expect(out).toContain(name);
  }
});
