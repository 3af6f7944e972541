/** testKit(): an app on a schema of its own, with given, when, then, and a drain that tells when it is done. */

import { inspect } from "node:util";
import { act, state } from "@rotorsoft/act";
import { integer, pgTable } from "drizzle-orm/pg-core";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { actPositions } from "../../src/projections/index.ts";
import { actTables } from "../../src/schema/tables.ts";
import { testKit } from "../../src/testing/index.ts";
import { connect, serverUrl } from "../support/database.ts";
import { Account, actor, bank, InvariantError } from "./bank.ts";

const open = async () => {
  const made = await bank(serverUrl());
  onTestFinished(() => made.kit.dispose());
  return made;
};
const opened = { name: "Opened", data: { owner: "Ann" } } as const;
const deposited = (amount: number) => ({ name: "Deposited", data: { amount } }) as const;

/** How many schemas of the kit are on the server. */
async function schemas(name: string): Promise<number> {
  const sql = connect(serverUrl());
  try {
    return (await sql`select from pg_namespace where nspname = ${name}`).length;
  } finally {
    await sql.end();
  }
}

test("given events, when an action is tried, then its events and those of reactions follow", async () => {
  const { kit, read } = await open();
  await kit.scenario({
    given: { a: [opened, deposited(5)], b: [opened] },
    when: (app) => app.do("deposit", { stream: "a", actor }, { amount: 1_000 }),
    thenEvents: [deposited(1_000), { name: "Thanked", data: { for: 1_000 }, stream: "a" }],
  });
  expect(await read()).toEqual([{ account: "a", balance: 1_005 }]);
});

test("an action that is refused is expected by its error", async () => {
  const { kit } = await open();
  const when = (app: typeof kit.app) => app.do("deposit", { stream: "a", actor }, { amount: 1 });
  await kit.scenario({ when, thenThrows: InvariantError });
  await kit.scenario({ when, thenThrows: /The account is open/ });
  await expect(kit.scenario({ when, thenThrows: TypeError })).rejects.toThrow("another error than TypeError");
  await expect(kit.scenario({ when, thenEvents: [] })).rejects.toBeInstanceOf(InvariantError);
  await kit.given("a", opened);
  await expect(kit.scenario({ when, thenThrows: "open" })).rejects.toThrow("the action did not throw");
});

test("events that differ from what is expected are shown", async () => {
  const { kit } = await open();
  const when = (app: typeof kit.app) => app.do("open", { stream: "a", actor }, { owner: "Bob" });
  await expect(kit.scenario({ when, thenEvents: [opened] })).rejects.toThrow(/Bob.*Ann|Ann.*Bob/s);
});

test("drained() comes back once what follows from what follows is done, however long the chain", async () => {
  const Step = z.object({ left: z.number() });
  const Chain = state({ Chain: z.object({}) })
    .init(() => ({}))
    .emits({ Step })
    .patch({ Step: () => ({}) })
    .on({ step: Step })
    .emit("Step")
    .build();
  const kit = await testKit({
    url: serverUrl(),
    build: ({ options }) =>
      act()
        .withState(Chain)
        .on("Step")
        .do(async function next({ stream, data: { left } }, _target, app) {
          if (left > 0) await app.do("step", { stream: `${stream}-`, actor }, { left: left - 1 });
        })
        .build(options),
  });
  onTestFinished(() => kit.dispose());
  for (let round = 1; round <= 2; round++) {
    await kit.given(`s${round}`, { name: "Step", data: { left: 8 } });
    await kit.drained();
    expect(await kit.events()).toHaveLength(9 * round);
  }
  expect((await kit.positions()).every(({ at, correlated_at }) => at === correlated_at)).toBe(true);
});

test("an app without reactions is drained at once, after history and after actions", async () => {
  const kit = await testKit({
    url: serverUrl(),
    build: ({ options }) => act().withState(Account).build(options),
  });
  onTestFinished(() => kit.dispose());
  for (const amount of [1, 2]) {
    await kit.given("a", opened, deposited(amount));
    await kit.drained({ timeout: 1_000 });
    await kit.app.do("deposit", { stream: "a", actor }, { amount });
    await kit.drained({ timeout: 1_000 });
  }
  expect(await kit.events("a")).toHaveLength(6);
});

test("drained() says which handler is blocked and why, and which does not end", async () => {
  const Happened = z.object({});
  const Thing = state({ Thing: z.object({}) })
    .init(() => ({}))
    .emits({ Happened })
    .patch({ Happened: () => ({}) })
    .on({ happen: Happened })
    .emit("Happened")
    .build();
  const release = Promise.withResolvers<void>();
  onTestFinished(() => release.resolve());
  const build = (handler: () => Promise<void>) =>
    testKit({
      url: serverUrl(),
      build: ({ options }) =>
        act()
          .withState(Thing)
          .on("Happened")
          .do(
            async function handle() {
              await handler();
            },
            { maxRetries: 0 },
          )
          .to("things")
          .build(options),
    });
  const failing = await build(async () => {
    throw new Error("out of paper");
  });
  onTestFinished(() => failing.dispose());
  await failing.given("t", { name: "Happened", data: {} });
  await expect(failing.drained()).rejects.toThrow(/"things" is blocked after event -1: out of paper/);

  const hanging = await build(() => release.promise);
  onTestFinished(() => hanging.dispose());
  await hanging.given("t", { name: "Happened", data: {} });
  await expect(hanging.drained({ timeout: 300 })).rejects.toThrow(
    /not done within 300 ms: "things" is at -1 of 1/,
  );
});

test("two kits at once see nothing of each other, and leave nothing behind", async () => {
  const [one, two] = await Promise.all([bank(serverUrl()), bank(serverUrl())]);
  await Promise.all([one.kit.given("a", opened, deposited(1)), two.kit.given("a", opened, deposited(2))]);
  await Promise.all([one.kit.drained(), two.kit.drained()]);
  expect([await one.read(), await two.read()]).toEqual([
    [{ account: "a", balance: 1 }],
    [{ account: "a", balance: 2 }],
  ]);
  expect(await schemas(one.kit.schema)).toBe(1);
  await Promise.all([one.kit.dispose(), two.kit.dispose(), one.kit.dispose()]);
  expect(await schemas(one.kit.schema)).toBe(0);
});

test("tables may be the whole module of a user's schema, with the store's own tables in it", async () => {
  const notes = pgTable("notes", { nr: integer("nr").primaryKey() });
  const kit = await testKit({
    url: serverUrl(),
    tables: { ...actTables(), notes, positions: actPositions() },
    build: ({ options }) => act().build(options),
  });
  try {
    await kit.store.commit("a", [{ name: "Noted", data: {} }], { correlation: "", causation: {} });
    expect(await kit.events("a")).toMatchObject([{ name: "Noted", version: 0 }]);
  } finally {
    await kit.dispose();
  }
});

test("a build that fails leaves no schema behind", async () => {
  let schema = "";
  const made = testKit({
    url: serverUrl(),
    build: (setup) => {
      schema = setup.schema;
      throw new Error("no app");
    },
  });
  await expect(made).rejects.toThrow("no app");
  expect(await schemas(schema)).toBe(0);
});

test("the kit says what it needs", async () => {
  await expect(Reflect.apply(testKit, undefined, [{}])).rejects.toThrow(/must get build/);
  const { kit } = await open();
  // @ts-expect-error: no such event
  await kit.given("a", { name: "Nothing", data: {} });
  // @ts-expect-error: data of another event
  await kit.given("a", { name: "Opened", data: { amount: 1 } });
});

test("a URL that Drizzle's drivers cannot take is refused without a word of it", async () => {
  const made = testKit({
    url: "postgres://act:secret@one:5432,two:5432/app",
    build: () => Promise.reject(new Error("not reached")),
  });
  const error = await made.catch((thrown: unknown) => thrown);
  expect(inspect(error)).toMatch(/url must have one host/);
  expect(inspect(error)).not.toMatch(/secret|one:5432/);
});

test("options of the URL stay beside the schema of the test", async () => {
  const url = new URL(serverUrl());
  url.search = "?options=-c%20geqo%3Doff";
  let seen: string | null = null;
  const made = testKit({
    url: url.href,
    build: (setup) => {
      seen = new URL(setup.url).searchParams.get("options");
      throw new Error(setup.schema);
    },
  });
  const schema = await made.catch(({ message }: Error) => message);
  expect(schema).toMatch(/^act_test_/);
  expect(seen).toBe(`-c geqo=off -c search_path=${schema}`);
});

test("dispose() closes and drops everything, also if the app or one of them fails to end, and says why", async () => {
  const closed: string[] = [];
  const kit = await testKit({
    url: serverUrl(),
    build: ({ options, onDispose }) => {
      onDispose(() => void closed.push("first"));
      onDispose(() => Promise.reject(new Error("cannot be closed")));
      onDispose(() => void closed.push("last"));
      const app = act().build(options);
      const shutdown = async () => {
        await app.shutdown();
        throw new Error("cannot be ended");
      };
      return Object.assign(Object.create(app) as typeof app, { shutdown });
    },
  });
  await expect(kit.dispose()).rejects.toThrow("cannot be ended");
  expect(closed).toEqual(["last", "first"]);
  expect(await schemas(kit.schema)).toBe(0);
});
