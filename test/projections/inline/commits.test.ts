/** Handlers that run in the transaction of the commit: what they see, and what becomes of the others when one throws. */
import { ConcurrencyError, StoreError } from "@rotorsoft/act";
import { eq, sql } from "drizzle-orm";
import { describe, expect, test } from "vitest";
import { InlineProjectionError } from "../../../src/index.ts";
import { type InlineTransaction, inline } from "../../../src/projections/index.ts";
import {
  add,
  addAll,
  balances,
  counting,
  type Deposit,
  deposited,
  events,
  gate,
  meta,
  useModels,
  withdrawn,
} from "./fixture.ts";

const models = useModels();
const refusalOf = (promise: Promise<unknown>): Promise<InlineProjectionError> =>
  promise.then(
    () => expect.fail("the commit was stored"),
    (error: unknown) => (error instanceof InlineProjectionError ? error : expect.fail(String(error))),
  );

describe.each([{ prepare: true }, { prepare: false }, { max: 1 }])("with %o", (options) => {
  const prefix = `${JSON.stringify(options).replaceAll(/\W/g, "")}-`;
  const name = (stream: string) => prefix + stream;

  test("the read model has an event as soon as its commit resolves", async () => {
    const store = await models.open({ ...options, inline: counting() });
    for (const amount of [1, 2, 3]) {
      const committed = await store.commit(name("own"), [deposited(amount)], meta);
      expect(committed).toMatchObject([{ version: amount - 1 }]);
    }
    expect(await models.balances(name("own"))).toEqual([{ stream: name("own"), balance: 6, events: 3 }]);
  });

  test("a handler that waits for its queries reads what it has written", async () => {
    const seen: unknown[] = [];
    const store = await models.open({
      ...options,
      inline: inline({
        events,
        on: {
          Deposited: async (given, tx) => {
            await add(tx, given);
            const stream = given[0]?.stream ?? "";
            seen.push(await tx.select().from(balances).where(eq(balances.stream, stream)));
            seen.push(
              await tx.execute(
                sql`select count(*) as n, 7::int8 as big, null as nothing, '{"a":1}'::jsonb as json`,
              ),
            );
          },
        },
      }),
    });
    await store.commit(name("seen"), [deposited(5)], meta);
    expect(seen).toEqual([
      [{ stream: name("seen"), balance: 5, events: 1 }],
      [{ n: expect.any(String), big: "7", nothing: null, json: { a: 1 } }],
    ]);
  });

  test("a throw refuses one commit of 50 concurrent ones, and counts the others once", async () => {
    const bad = name("many-13");
    const store = await models.open({
      ...options,
      inline: inline({
        events,
        on: {
          Deposited: async (given, tx) => {
            await add(tx, given);
            if (given[0]?.stream === bad) throw new Error("no");
          },
        },
      }),
    });
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, n) => store.commit(name(`many-${n}`), [deposited(n)], meta, -1)),
    );
    const refused = results.flatMap((result, n) =>
      result.status === "rejected" ? [[n, result.reason]] : [],
    );
    expect(refused).toEqual([[13, expect.any(InlineProjectionError)]]);
    expect(await models.balances(name("many-%"))).toEqual(await models.folded(store));
    expect(await models.balances(name("many-%"))).toHaveLength(49);
  });
});

describe("a handler that fails", () => {
  test("rejects its commit with an error that names the event and the stream, and no data", async () => {
    const cause = new Error("the account is closed: secret");
    const store = await models.open({
      inline: inline({
        events,
        on: {
          Deposited: () => {
            throw cause;
          },
        },
      }),
    });
    const error = await refusalOf(store.commit("closed-1", [deposited(4711)], meta));
    expect(error).toBeInstanceOf(StoreError);
    expect({ ...error, cause: error.cause }).toMatchObject({
      code: "HANDLER_FAILED",
      event: "Deposited",
      stream: "closed-1",
      operation: "commit",
      cause,
    });
    expect(error.message).not.toMatch(/4711|secret/);
    expect(await models.fixture.rows(store)).toEqual([]);
  });

  test("for a constraint of the read model gets the server's error without values", async () => {
    const store = await models.open({ inline: counting() });
    const error = await refusalOf(store.commit("rich-1", [deposited(7_654_321)], meta));
    expect(error).toMatchObject({ code: "HANDLER_FAILED", cause: { code: "23514" } });
    expect(`${error.message} ${error.cause}`).not.toContain("7654321");
    expect(await models.balances("rich-1")).toEqual([]);
  });

  test("in each of many commits refuses them all, and no other", async () => {
    const store = await models.open({ inline: counting() });
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) =>
        store.commit(`mixed-${n}`, [deposited(n % 2 ? 2_000_000 : 1)], meta),
      ),
    );
    expect(results.map(({ status }) => status)).toEqual(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? "rejected" : "fulfilled")),
    );
    expect(await models.balances("mixed-%")).toEqual(await models.folded(store));
  });

  test("whose error it has caught itself still refuses the commit: the transaction has failed", async () => {
    const store = await models.open({
      inline: inline({
        events,
        on: { Deposited: async (_, tx) => void (await tx.execute(sql`select 1 / 0`).catch(() => {})) },
      }),
    });
    const error = await refusalOf(store.commit("caught-1", [deposited(1)], meta));
    expect(error).toMatchObject({ code: "HANDLER_FAILED", cause: { code: "22012" } });
    expect(await models.fixture.rows(store)).toEqual([]);
  });

  test("may not end the transaction of the commit", async () => {
    const store = await models.open({
      inline: inline({ events, on: { Deposited: async (_, tx) => void (await tx.execute(sql`commit`)) } }),
    });
    const error = await refusalOf(store.commit("ended-1", [deposited(1)], meta));
    expect(String(error.cause)).toContain("tx.transaction()");
    expect(await models.fixture.rows(store)).toEqual([]);
  });

  test("may end it by a statement that begins with a comment: the outcome of the commit is then unknown", async () => {
    const projections = inline({
      events,
      on: { Deposited: async (_, tx) => void (await tx.execute(sql`/* by hand */ commit`)) },
    });
    const store = await models.open({ inline: projections });
    const message = expect.stringMatching(/^an inline projection ended the transaction of its commit: /);
    await expect(store.commit("ended-2", [deposited(1)], meta)).rejects.toMatchObject({
      cause: { code: "OUTCOME_UNKNOWN", message },
    });
    expect(await models.fixture.rows(store)).toMatchObject([{ stream: "ended-2" }]);
  });
});

describe("a handler that is too slow", () => {
  test("in a statement is cut and named; the next commit goes on", async () => {
    const store = await models.open({
      inline: inline({
        events,
        timeout: 200,
        on: { Deposited: async (_, tx) => void (await tx.execute(sql`select pg_sleep(30)`)) },
      }),
    });
    const slow = refusalOf(store.commit("slow-1", [deposited(1)], meta));
    const other = store.commit("slow-2", [withdrawn(1)], meta);
    expect(await slow).toMatchObject({ code: "TIMED_OUT", event: "Deposited", stream: "slow-1" });
    await other;
    expect(await models.fixture.rows(store)).toMatchObject([{ stream: "slow-2" }]);
  });

  test("in code of its own is cut, and its later queries are refused", async () => {
    const { opened, open } = gate();
    const late = gate();
    let said: unknown;
    const store = await models.open({
      inline: inline({
        events,
        on: {
          Deposited: {
            timeout: 100,
            each: async (given, tx) => {
              await opened;
              await add(tx, given).catch((error: Error) => {
                said = error.cause;
              });
              late.open();
            },
          },
        },
      }),
    });
    const error = await refusalOf(store.commit("stuck-1", [deposited(1)], meta));
    expect(error).toMatchObject({ code: "TIMED_OUT" });
    open();
    await late.opened;
    expect(String(said)).toContain("no commit is being projected");
    expect(await models.balances("stuck-1")).toEqual([]);
  });
});

test("a nested transaction that fails leaves the rest of the handler's work", async () => {
  const store = await models.open({
    inline: inline({
      events,
      on: {
        Deposited: async (given, tx) => {
          await add(tx, given);
          await tx.transaction(async (inner) => void (await add(inner, given)));
          await tx
            .transaction(async (inner) => {
              await add(inner, given);
              await inner.transaction(async (innermost) => void (await innermost.execute(sql`select 1 / 0`)));
            })
            .catch(() => {});
          await tx.transaction(async (inner) => inner.rollback()).catch(() => {});
        },
      },
    }),
  });
  await store.commit("nested-1", [deposited(5)], meta);
  expect(await models.balances("nested-1")).toEqual([{ stream: "nested-1", balance: 10, events: 2 }]);
});

test("a commit that meets another head is a concurrency conflict, and is not projected", async () => {
  const store = await models.open({ inline: counting() });
  const results = await Promise.allSettled(
    [1, 2, 4].map((amount) => store.commit("raced-1", [deposited(amount)], meta, -1)),
  );
  const conflicts = results.filter((result) => result.status === "rejected");
  expect(conflicts.map(({ reason }) => reason)).toEqual([
    expect.any(ConcurrencyError),
    expect.any(ConcurrencyError),
  ]);
  expect(await models.balances("raced-1")).toEqual(await models.folded(store));
});

test("a batch handler gets the events of all commits that go out together; a failure is each one's own", async () => {
  const sizes: number[] = [];
  const store = await models.open({
    inline: inline({
      events,
      on: {
        Deposited: {
          batch: (given, tx) => {
            sizes.push(given.length);
            return addAll(tx, given);
          },
        },
      },
    }),
  });
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => store.commit(`batch-${n % 7}`, [deposited(1)], meta)),
  );
  expect(sizes).toEqual([20]);
  const results = await Promise.allSettled(
    [1, 2_000_000, 1].map((amount, n) => store.commit(`batch-${n}`, [deposited(amount)], meta)),
  );
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await models.balances("batch-%")).toEqual(await models.folded(store));
});

test("a handler gets the events of its name as commit() answers with them, pii in clear", async () => {
  const seen: unknown[] = [];
  const store = await models.open({
    pii_encryption: { key: new Uint8Array(32).fill(7) },
    inline: inline({ events, on: { Deposited: (given) => void seen.push(...given) } }),
  });
  const at = new Date(0);
  const committed = await store.commit(
    "pii-1",
    [{ ...deposited(1), pii: { name: "Ann", at } }, withdrawn(1), deposited(2)],
    meta,
  );
  expect(seen).toEqual([committed[0], committed[2]]);
  expect(seen[0]).toMatchObject({ pii: { name: "Ann", at } });
  expect(seen[1]).not.toHaveProperty("pii");
});

test("queries that are returned and queries that are waited for may alternate", async () => {
  const on = {
    // Each that waits is sent together with the one that was returned before it.
    Deposited: (given: readonly Deposit[], tx: InlineTransaction) => add(tx, given),
    Withdrawn: async (given: readonly Deposit[], tx: InlineTransaction) => {
      await add(tx, given, -1);
    },
  };
  const store = await models.open({ inline: inline({ events, on }) });
  const first = store.commit("turns-0", [deposited(1)], meta);
  const amounts = [1, 2, 3, 4, 5, 6];
  const commits = amounts.map((n) => store.commit(`turns-${n}`, [n % 2 ? deposited(n) : withdrawn(n)], meta));
  await Promise.all([first, ...commits]);
  const balance = (n: number) => ({ stream: `turns-${n}`, balance: n % 2 ? n : -n, events: 1 });
  expect(await models.balances("turns-%")).toEqual([
    { stream: "turns-0", balance: 1, events: 1 },
    ...amounts.map(balance),
  ]);
});

test("commits that nobody projects inline go their own way, and keep their place in their stream", async () => {
  const store = await models.open({ inline: counting() });
  const commits = Array.from({ length: 30 }, (_, n) =>
    store.commit(`mix-${n % 3}`, [n % 2 ? withdrawn(n) : deposited(1)], meta, Math.floor(n / 3) - 1),
  );
  await Promise.all(commits);
  expect(await models.balances("mix-%")).toEqual(await models.folded(store));
});
