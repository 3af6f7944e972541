/** Names of 200 characters, and names derived from them, through every verb. */
import { expect } from "vitest";
import {
  append,
  appendOne,
  at,
  blocked,
  claimAll,
  forget,
  idsOf,
  leaseOf,
  message,
  only,
  positionOf,
  positions,
  read,
  readAll,
  restorable,
  restore,
  streamsOf,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const LONG = "long".repeat(50);

export const longNames = section("long names", (line) => {
  line("C9", "streams and events with long names are committed and queried", async ({ store }) => {
    const [event] = await append(store, LONG, LONG);
    expect(await read(store, { stream: LONG, stream_exact: true, names: [LONG] })).toEqual([event]);
    expect(await read(store, { stream: `^${LONG}$` })).toHaveLength(1);
    expect((await store.query_stats([LONG], { names: true })).get(LONG)?.names).toEqual({ [LONG]: 1 });
    expect((await store.truncate([{ stream: LONG, snapshot: {} }])).get(LONG)?.deleted).toBe(1);
  });

  line(
    "C9",
    "targets and sources with long names are subscribed, claimed, acked and reset",
    async ({ store }) => {
      const target = `__autoclose__:${LONG}`;
      await store.subscribe([{ stream: target, source: LONG, lane: LONG, correlated_at: 9 }]);
      const lease = only(await claimAll(store, LONG, 60_000, LONG));
      expect(lease).toMatchObject({ stream: target, source: LONG, by: LONG, lane: LONG });
      expect(streamsOf(await store.ack([{ ...lease, at: 9 }]))).toEqual([target]);
      expect(await store.defer({ source: LONG, source_exact: true }, 1)).toBe(1);
      expect(await store.reset([target])).toBe(1);
      expect(streamsOf(await positions(store, { stream: `^${target}$` }))).toEqual([target]);
    },
  );

  line("C9", "streams with long names are blocked and unblocked, with a long error", async ({ store }) => {
    await blocked(store, LONG, LONG.repeat(50));
    expect((await positionOf(store, LONG)).error).toBe(LONG.repeat(50));
    expect(await store.unblock([LONG])).toBe(1);
    expect((await leaseOf(store, LONG)).retry).toBe(0);
  });

  line("C9", "correlator keys and holders with long names are kept", async ({ store }) => {
    const ask = (by: string) => store.subscribe([], 3, { key: LONG, by, millis: 60_000 });
    expect((await ask(LONG)).correlating).toBe(true);
    expect((await ask(`${LONG}2`)).correlating).toBe(false);
  });

  line("C9", "long names are restored and forgotten", { needs: ["restore", "pii"] }, async ({ store }) => {
    await restore(store, [restorable(LONG, 0, { name: LONG, pii: { email: LONG } })]);
    expect(await forget(store, LONG)).toBe(1);
    expect(idsOf([at(await readAll(store), 0)])).toHaveLength(1);
    expect((await appendOne(store, LONG, message(LONG))).version).toBe(1);
  });
});
