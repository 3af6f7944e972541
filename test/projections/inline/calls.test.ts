/** What an inline projection may call of its store: nothing that would wait for its own commit. */
import { describe, expect, test } from "vitest";
import { inline } from "../../../src/projections/index.ts";
import type { PostgresStore } from "../../../src/store.ts";
import { type OwnOptions, Tenants } from "../../tenants/fixture.ts";
import { deposited, events, gate, meta, useModels } from "./fixture.ts";

const { fixture } = useModels();
const opened = { name: "Opened", data: {} };
type Call = (store: PostgresStore) => Promise<unknown>;

/** A store whose projection of `Deposited` makes the call, singly or for a batch. */
async function calling(call: Call, options: { max?: number; batch?: boolean } = {}): Promise<PostgresStore> {
  const { batch, ...rest } = options;
  const handler = async () => void (await call(store));
  const store: PostgresStore = await fixture.seeded({
    inline: inline({ events, on: { Deposited: batch ? { batch: handler } : handler } }),
    ...rest,
  });
  return store;
}

const refusedBy = (operation: string) => ({
  name: "InlineProjectionError",
  code: "HANDLER_FAILED",
  cause: {
    operation,
    cause: {
      code: "IN_PROJECTION",
      message: expect.stringContaining(
        `${operation} was called by an inline projection, and would wait for the commit that it projects`,
      ),
    },
  },
});

const WAITING: Readonly<Record<string, Call>> = {
  commit: (store) => store.commit("other", [opened], meta),
  truncate: (store) => store.truncate([{ stream: "s" }]),
  restore: (store) => store.restore(async () => {}),
  drop: (store) => store.drop(),
  dispose: (store) => store.dispose(),
};

test.each(Object.entries(WAITING))("%s is refused at once, and the commit with it", async (verb, call) => {
  for (const batch of [false, true]) {
    const store = await calling(call, { batch });
    const start = performance.now();
    await expect(store.commit("s", [deposited(1)], meta)).rejects.toMatchObject(refusedBy(verb));
    // The time limit of a handler is 2 s.
    expect(performance.now() - start).toBeLessThan(1_000);
    expect(await fixture.rows(store)).toEqual([]);
    await expect(store.commit("s", [opened], meta)).resolves.toHaveLength(1);
  }
});

test("what does not wait for commits is carried out", async () => {
  const store = await calling(async (own) => {
    await own.query(() => {});
    await own.subscribe([{ stream: "reader" }]);
    await own.claim(1, 1, "me", 1_000);
    await own.reset(["reader"]);
    await own.forget_pii("s");
  });
  await expect(store.commit("s", [deposited(1)], meta)).resolves.toHaveLength(1);
});

test("with one connection nothing can be called, because the commit has it", async () => {
  const store = await calling((own) => own.query(() => {}), { max: 1 });
  await expect(store.commit("s", [deposited(1)], meta)).rejects.toMatchObject(refusedBy("query"));
});

test("what a projection leaves running may commit once it has ended", async () => {
  const ended = gate();
  let later: Promise<unknown> | undefined;
  const store = await calling(async (own) => {
    later = ended.opened.then(() => own.commit("later", [opened], meta));
  });
  await store.commit("s", [deposited(1)], meta);
  ended.open();
  await expect(later).resolves.toHaveLength(1);
});

describe("projections that commit to each other's stores at the same time: the one that would close the circle is refused at once,", () => {
  const tenants = new Tenants(fixture);
  const COMMIT: Call = (store) => store.commit("other", [opened], meta);

  /**
   * `count` stores in a circle. The projection of each makes the call to the next one, once the projections of all are
   * running.
   */
  async function circle(call: Call, count: number, open: (own: OwnOptions) => Promise<PostgresStore>) {
    const all = gate();
    let running = 0;
    const stores: PostgresStore[] = [];
    for (let n = 0; n < count; n++) {
      const handler = async () => {
        if (++running === count) all.open();
        await all.opened;
        const next = stores[(n + 1) % count];
        if (next) await call(next);
      };
      stores.push(await open({ inline: inline({ events, on: { Deposited: handler } }) }));
    }
    return stores;
  }

  const own = (options: OwnOptions) => fixture.seeded(options);
  const shared = () => {
    const database = tenants.database({ max: 8, writers: 4 });
    return (options: OwnOptions) => tenants.store(database, options);
  };
  const TRUNCATE: Call = (store) => store.truncate([{ stream: "s" }]);

  test.each([
    ["two stores that share connections", COMMIT, 2, shared],
    ["three stores that share connections", COMMIT, 3, shared],
    ["two stores with connections of their own", COMMIT, 2, () => own],
    ["two stores, with a truncate", TRUNCATE, 2, () => own],
  ])("%s", async (_, call, count, open) => {
    const stores = await circle(call, count, open());
    const start = performance.now();
    const outcomes = await Promise.allSettled(stores.map((store) => store.commit("s", [deposited(1)], meta)));
    // The time limit of a handler is 2 s.
    expect(performance.now() - start).toBeLessThan(1_500);
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toMatchObject([
      {
        reason: {
          code: "HANDLER_FAILED",
          cause: {
            cause: {
              code: "IN_PROJECTION",
              message: expect.stringContaining("another inline projection that waits"),
            },
          },
        },
      },
    ]);
  });

  test("also if they only need each other's connections", async () => {
    const database = tenants.database({ max: 8, writers: 2 });
    const others = await tenants.stores(database, 2);
    const all = gate();
    let running = 0;
    const stores: PostgresStore[] = [];
    for (const other of others) {
      const handler = async () => {
        if (++running === 2) all.open();
        await all.opened;
        await other.commit("other", [opened], meta);
      };
      stores.push(await tenants.store(database, { inline: inline({ events, on: { Deposited: handler } }) }));
    }
    const start = performance.now();
    const outcomes = await Promise.allSettled(stores.map((store) => store.commit("s", [deposited(1)], meta)));
    expect(performance.now() - start).toBeLessThan(1_500);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { cause: { cause: { code: "IN_PROJECTION" } } },
    });
  });

  test("and a row of stores, of which the last calls none, is carried out", async () => {
    const open = shared();
    const last = await open({});
    const handler = async () => void (await last.commit("other", [opened], meta));
    const rows = await Promise.all(
      [1, 2, 3].map(() => open({ inline: inline({ events, on: { Deposited: handler } }) })),
    );
    await Promise.all(rows.map((store) => store.commit("s", [deposited(1)], meta)));
    expect(await fixture.rows(last)).toHaveLength(3);
  });
});

describe("stores that share connections: a call to another store that needs the commit's own is refused at once,", () => {
  const tenants = new Tenants(fixture);
  const COMMIT: Call = (store) => store.commit("other", [opened], meta);
  const QUERY: Call = (store) => store.query(() => {});

  /** Two stores on connections of their own. The projection of the first makes the call to the second. */
  async function sharing(call: Call, options: { readonly max: number; readonly writers?: number }) {
    const database = tenants.database(options);
    const other = await tenants.store(database);
    const handler = async () => void (await call(other));
    const on = { Deposited: handler };
    return { store: await tenants.store(database, { inline: inline({ events, on }) }), other };
  }

  test.each([
    ["commit", COMMIT, { max: 4, writers: 1 }],
    ["commit", COMMIT, { max: 1 }],
    ["query", QUERY, { max: 1 }],
  ])("%s", async (verb, call, options) => {
    const { store, other } = await sharing(call, options);
    const start = performance.now();
    await expect(store.commit("s", [deposited(1)], meta)).rejects.toMatchObject({
      code: "HANDLER_FAILED",
      cause: { operation: verb, cause: { code: "IN_PROJECTION" } },
    });
    expect(performance.now() - start).toBeLessThan(1_000);
    expect([...(await fixture.rows(store)), ...(await fixture.rows(other))]).toEqual([]);
  });

  test.each([
    [COMMIT, { max: 4, writers: 2 }],
    [QUERY, { max: 2 }],
  ])("and another is carried out", async (call, options) => {
    const { store } = await sharing(call, options);
    await expect(store.commit("s", [deposited(1)], meta)).resolves.toHaveLength(1);
  });
});
