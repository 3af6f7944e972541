/** docs/guides/operations.md: each of its commands runs on a broken app, and each incident is solved by one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { blockMailer, withBacklog } from "../admin/fixture.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { commandOn } from "./command.ts";
import { inFolder } from "./folder.ts";

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "docs/guides/operations.md"), "utf8");
const fixture = useDatabase();

/** The words of a line, as a shell splits them: the guide uses double quotes only. */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? "");

type Line = { readonly words: readonly string[]; readonly mayFail: boolean };

/** The commands of the guide, or of its section, in their order. */
function commandsOf(heading?: string): Line[] {
  const text = heading
    ? (guide.split(/^#+ /m).find((section) => section.startsWith(`${heading}\n`)) ?? "")
    : guide;
  return [...text.matchAll(/^ *npx act-drizzle (.*?)( \|\| true)?$/gm)].map(([, rest = "", fails]) => ({
    words: wordsOf(rest),
    mayFail: fails !== undefined,
  }));
}

async function broken(): Promise<PostgresStore> {
  const store = await withBacklog(fixture);
  await blockMailer(store);
  return store;
}

test("every command of the guide runs, in the order of the page", async () => {
  const store = await broken();
  const command = commandOn(fixture, store);
  const place = inFolder();
  // As after a worker that was killed.
  const leaseReport = () => store.claim(1, 0, "killed", 60_000, "slow");
  // The mailer is blocked once, and the page shows two ways out.
  const blockAgain = async () => {
    const [lease] = await store.claim(1, 0, "w", 60_000);
    if (!lease) throw new Error("The mailer was not claimed");
    await store.block([{ ...lease, error: "no such address" }]);
  };
  const lines = commandsOf();
  expect(lines.length).toBeGreaterThan(15);
  for (const { words, mayFail } of lines) {
    if (words[0] === "release") {
      await store.defer(["report"], 0);
      await leaseReport();
    }
    const { code, err } = await command(...place(words));
    if (!mayFail) expect([code, err], words.join(" ")).toEqual([0, expect.any(String)]);
    else expect(code, words.join(" ")).not.toBeNull();
    if (words[0] === "unblock") await blockAgain();
  }
}, 400_000);

test("every command that the guide's tables name is there", async () => {
  const store = await broken();
  const command = commandOn(fixture, store);
  const named = [...guide.matchAll(/^\|[^\n]*`act-drizzle ([^`]+)`/gm)].map(([, rest = ""]) => wordsOf(rest));
  expect(named.length).toBeGreaterThan(8);
  for (const words of named.filter(([name = ""]) => !["tail", "bench", "console"].includes(name))) {
    const { code, err } = await command(...words);
    expect([code, err], words.join(" ")).toEqual([0, expect.any(String)]);
  }
}, 400_000);

/** The commands of an incident that change something, without the previews. */
const remediesOf = (heading: string): Line[] =>
  commandsOf(heading).filter(
    ({ words: [name = "", ...rest] }) =>
      !["lag", "blocked", "event", "stream", "status"].includes(name) && !rest.includes("--dry-run"),
  );
const remedy = (heading: string, verb: string): string[] => {
  const found = remediesOf(heading).find(({ words: [name] }) => name === verb);
  if (!found) throw new Error(`"${heading}" has no command ${verb}`);
  return [...found.words];
};

describe("one command solves the incident", () => {
  test("a reaction that is blocked by one event goes on behind it", async () => {
    const store = await broken();
    const { code } = await commandOn(fixture, store)(...remedy("A reaction is blocked by one event", "skip"));
    expect(code).toBe(0);
    const [lease] = await store.claim(1, 0, "w", 10_000);
    expect([lease?.stream, lease?.at]).toEqual(["mailer", 2]);
    expect((await new Admin(store).skipped())[0]?.reason).toBe("address was deleted");
  });

  test("a read model is built anew from the first event", async () => {
    const store = await broken();
    const leases = await store.claim(1, 0, "w", 10_000, "slow");
    await store.ack(leases.map((lease) => ({ ...lease, at: 5 })));
    const { code } = await commandOn(
      fixture,
      store,
    )(...remedy("A read model is wrong and must be rebuilt", "reset"));
    expect(code).toBe(0);
    expect((await store.claim(1, 0, "w", 10_000, "slow")).map(({ stream, at }) => [stream, at])).toEqual([
      ["report", -1],
    ]);
  });

  test("personal data is gone from a stream, and its events stay", async () => {
    const store = await broken();
    await store.commit("customer-7", [{ name: "Registered", data: {}, pii: { mail: "ada@example.org" } }], {
      correlation: "c",
      causation: {},
    });
    const command = commandOn(fixture, store);
    const { code } = await command(...remedy("Somebody asks to be forgotten", "forget"));
    expect(code).toBe(0);
    const found: unknown[] = [];
    await store.query((event) => found.push(event), { stream: "customer-7", stream_exact: true });
    expect(found).toHaveLength(1);
    expect(JSON.stringify(found)).not.toContain("ada@example.org");
  });

  test("a new reaction gets the events that were there before it", async () => {
    const store = await broken();
    const place = inFolder();
    const { code } = await commandOn(
      fixture,
      store,
    )(...place(remedy("A new reaction sees nothing of the past", "backfill")));
    expect(code).toBe(0);
    expect((await store.claim(5, 0, "w", 10_000)).map(({ stream, at }) => [stream, at])).toContainEqual([
      "counter",
      -1,
    ]);
  });

  test("a slow consumer stands back behind the others", async () => {
    const store = await broken();
    const { code } = await commandOn(
      fixture,
      store,
    )(...remedy("One slow consumer holds up the others", "prioritize"));
    expect(code).toBe(0);
    await store.unblock(["mailer"]);
    const order = await store.claim(3, 0, "w", 10_000);
    expect(order.map(({ stream }) => stream).indexOf("report")).toBeGreaterThan(
      order.map(({ stream }) => stream).indexOf("mailer"),
    );
  });

  test("a slow consumer rests until a time", async () => {
    const store = await broken();
    const { code } = await commandOn(
      fixture,
      store,
    )(...remedy("One slow consumer holds up the others", "defer"));
    expect(code).toBe(0);
    expect(await store.claim(5, 0, "w", 10_000, "slow")).toEqual([]);
  });

  test("a killed worker's lease shows, and ends with one command", async () => {
    const store = await broken();
    await store.claim(5, 0, "killed", 3_600_000, "slow");
    expect(await store.claim(5, 0, "other", 10_000, "slow")).toEqual([]);
    const command = commandOn(fixture, store);
    expect((await command("lag")).out).toContain("killed");
    const { code } = await command(...remedy("A worker was killed in its work", "release"));
    expect(code).toBe(0);
    expect((await store.claim(5, 0, "other", 10_000, "slow")).map(({ stream }) => stream)).toEqual([
      "report",
    ]);
  });
});
