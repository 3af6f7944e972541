/** A restore whose connection goes at its COMMIT: its caller is told what became of it, or that nobody knows. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { type Shape, TcpProxy } from "../../postgres/proxy.ts";

const fixture = useDatabase();
const EVENTS = 1_500;

/** CommandComplete of COMMIT: its letter and length stand before the tag. */
const TAG = Buffer.from("COMMIT\0");
const BEFORE_TAG = 5;

const restore = (store: PostgresStore) =>
  store.restore(async (insert) => {
    for (let version = 0; version < EVENTS; version++)
      await insert({ ...event("Restored"), id: 0, stream: "restored", version, created: new Date(0), meta });
  });

/** Whether the log is the restored one. */
async function applied(store: PostgresStore): Promise<boolean> {
  const rows = await fixture.rows(store);
  return rows.length === EVENTS && rows.every(({ stream }) => stream === "restored");
}

/** `resolved`, or the code of the error's cause. */
const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "resolved",
    (error: unknown) => {
      const cause = error instanceof StoreError ? error.cause : undefined;
      return cause instanceof Error && "code" in cause ? String(cause.code) : String(error);
    },
  );

/** A store behind a proxy, with something in its log, and another directly on the server. */
async function behindProxy() {
  const direct = await fixture.seeded();
  await direct.commit("old", [event(), event()], meta);
  const proxy = await TcpProxy.before(fixture.parts);
  const { table } = direct.config;
  const store = fixture.store({ host: "127.0.0.1", port: proxy.port, table });
  await store.query(() => {});
  return { store, proxy };
}

test("a restore that was applied, and whose answer to COMMIT is lost, resolves or says that it is unknown", async () => {
  const { store, proxy } = await behindProxy();
  let swallowed = 0;
  const shape: Shape = async (bytes, way) => {
    const at = way === "down" ? bytes.indexOf(TAG) : -1;
    // Of the COMMIT that makes the restored log visible, and once.
    if (at < BEFORE_TAG || swallowed > 0 || !(await applied(store))) return { pieces: [bytes] };
    swallowed++;
    return { pieces: [bytes.subarray(0, at - BEFORE_TAG)], end: "cut" };
  };
  proxy.shape = shape;
  const outcome = await outcomeOf(restore(store));
  console.log(outcome);
  expect(swallowed).toBe(1);
  expect(await applied(store)).toBe(true);
  expect(["resolved", "OUTCOME_UNKNOWN"]).toContain(outcome);
});

test("a restore whose COMMIT did not arrive fails, and leaves the old log", async () => {
  const { store, proxy } = await behindProxy();
  const COMMIT = /commit/i;
  let cut = 0;
  const last = store.restore(async (insert) => {
    await insert({ ...event("Restored"), id: 0, stream: "restored", version: 0, created: new Date(0), meta });
    proxy.shape = (bytes, way) => {
      if (way === "down" || cut > 0 || !COMMIT.test(bytes.toString("latin1"))) return { pieces: [bytes] };
      cut++;
      return { pieces: [], end: "cut" };
    };
  });
  const outcome = await outcomeOf(last);
  expect(cut).toBe(1);
  expect((await fixture.rows(store)).map(({ stream }) => stream)).toEqual(["old", "old"]);
  expect(outcome).not.toBe("resolved");
});
