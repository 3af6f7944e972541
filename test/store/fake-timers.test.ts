/** What the guide says of vitest's fake timers: with `Date` alone faked, the store works. */
import { expect, test, vi } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("the store works while the clock of its process is faked", async () => {
  const store = await fixture.seeded({ table: "faked" });
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2001, 0, 1) });
  try {
    const at = new Date();
    const meta = { correlation: "", causation: {} };
    const [event] = await store.commit("a", [{ name: "Noted", data: { at } }], meta);
    expect(event?.data).toEqual({ at });
    expect(event?.created.getTime()).toBeGreaterThan(Date.UTC(2020, 0, 1));
    await store.subscribe([{ stream: "t", correlated_at: 1 }]);
    expect(await store.claim(1, 0, "worker", 1_000)).toMatchObject([{ stream: "t" }]);
  } finally {
    vi.useRealTimers();
  }
});
