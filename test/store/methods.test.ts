/** A verb is a method that may be overridden and spied on, and that works without the store in front of it. */
import type { Store } from "@rotorsoft/act";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { everyVerb } from "../input/verbs.ts";
import { failureOf, meta } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";

afterEach(() => vi.restoreAllMocks());

/** Nobody listens at its port: what asks the server something fails, and says so. */
async function unreachable(options = {}): Promise<PostgresStore> {
  const store = new PostgresStore({ host: "127.0.0.1", port: await deadPort(), ...options });
  onTestFinished(() => store.dispose());
  return store;
}

class Counting extends PostgresStore {
  readonly calls: string[] = [];
  override commit: PostgresStore["commit"] = (...args) => {
    this.calls.push(`field: ${args[0]}`);
    return super.commit(...args);
  };
  override async seed() {
    this.calls.push("seed");
  }
  override async reset(input: Parameters<PostgresStore["reset"]>[0]) {
    this.calls.push("reset");
    return (await super.reset(input)) + 100;
  }
}

describe("a subclass", () => {
  test("overrides a verb by a method or a field, and calls the store's own", async () => {
    const store = new Counting();
    await store.seed();
    expect(await store.reset([])).toBe(100);
    expect(await store.commit("s", [], meta)).toEqual([]);
    expect(store.calls).toEqual(["seed", "reset", "field: s"]);
  });

  test("is what a destructured verb and a Proxy call, too", async () => {
    const store = new Counting();
    const { reset } = store;
    expect(await reset([])).toBe(100);
    expect(await new Proxy(store, {}).reset([])).toBe(100);
    expect(store.calls).toEqual(["reset", "reset"]);
  });

  test("leaves the verbs of another store as they are", async () => {
    new Counting();
    expect(await new PostgresStore().reset([])).toBe(0);
  });
});

describe("a spy", () => {
  test("on the prototype sees the calls of stores that were made before", async () => {
    const store = new PostgresStore();
    const { commit } = store;
    const spy = vi.spyOn(PostgresStore.prototype, "commit");
    expect(await store.commit("s", [], meta)).toEqual([]);
    await commit("t", [], meta);
    expect(spy.mock.calls.map(([stream]) => stream)).toEqual(["s", "t"]);
    expect(spy.mock.contexts).toEqual([store, store]);
  });

  test("on the prototype may answer instead", async () => {
    vi.spyOn(PostgresStore.prototype, "claim").mockResolvedValue([]);
    expect(await (await unreachable()).claim(1, 1, "w", 10)).toEqual([]);
  });

  test("on one store sees its calls only, and is taken off again", async () => {
    const [one, other] = [new PostgresStore(), new PostgresStore()];
    const spy = vi.spyOn(one, "ack");
    await one.ack([]);
    await other.ack([]);
    expect(spy).toHaveBeenCalledTimes(1);
    spy.mockRestore();
    expect(await one.ack([])).toEqual([]);
    expect(spy).not.toHaveBeenCalled();
  });
});

/** As a broker does that announces what was committed: a Proxy whose methods belong to the store behind it. */
const decorated = (store: PostgresStore): PostgresStore =>
  new Proxy(store, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

/** `verb` of a store, called with nothing in front of it. */
const loose = (store: PostgresStore) =>
  new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function"
        ? (...args: unknown[]) => Reflect.apply(value, undefined, args)
        : value;
    },
  });

test.each<[string, (store: PostgresStore) => PostgresStore]>([
  ["without the store in front of it", loose],
  ["of a Proxy", (store) => new Proxy(store, {})],
  ["that a Proxy has bound", decorated],
  ["of an object that inherits from the store", (store) => Object.create(store)],
])("every verb %s asks the server", async (_, wrap) => {
  const store = wrap(await unreachable({ notify: true }));
  const calls = { ...everyVerb(store), seed: () => store.seed(), drop: () => store.drop() };
  for (const [verb, call] of Object.entries({ ...calls, notify: async () => store.notify?.(() => {}) })) {
    const { error } = await failureOf(call());
    expect(error, verb).toMatchObject({
      name: "ERR_STORE",
      operation: verb,
      cause: { code: "ECONNREFUSED" },
    });
  }
  expect(await store.dispose()).toBe(undefined);
});

test("a store that is spread into a decorator keeps its verbs", async () => {
  const spread: Partial<Store> = { ...(await unreachable()) };
  expect(await spread.commit?.("s", [], meta)).toEqual([]);
  expect(await spread.block?.([])).toEqual([]);
});

test("the tables of a Proxy are those of the store", () => {
  const store = new PostgresStore();
  expect(new Proxy(store, {}).tables).toBe(store.tables);
  expect(new PostgresStore().tables).not.toBe(store.tables);
});

test("notify is there only when it is asked for, whatever a subclass adds", () => {
  expect("notify" in new Counting()).toBe(false);
  expect("notify" in new Counting({ notify: true })).toBe(true);
});
