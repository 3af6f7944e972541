/** Act's loggers print the message and the stack of an error. Both say why a verb failed, and hold no data. */
import { ConsoleLogger, StoreError } from "@rotorsoft/act";
import { describe, expect, test, vi } from "vitest";
import { storeError, toStoreError } from "../../src/errors.ts";
import { everyVerb } from "../input/verbs.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";
import { deadPort } from "../postgres/proxy.ts";

const fixture = useDatabase();

/** What Act's logger prints of `error`. */
function printed(error: unknown, pretty: boolean): string {
  const lines: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => lines.push(String(text)) > 0);
  try {
    new ConsoleLogger({ level: "error", pretty }).error(error);
  } finally {
    write.mockRestore();
  }
  return lines.join("");
}

describe.each([
  ["pretty", true],
  ["JSON", false],
])("Act's logger, %s", (_, pretty) => {
  test("prints why each verb failed when nobody listens at the port", async () => {
    const port = await deadPort();
    const store = fixture.store({ host: "127.0.0.1", port });
    const calls = { ...everyVerb(store), seed: () => store.seed(), drop: () => store.drop() };
    for (const [verb, call] of Object.entries(calls)) {
      const { error } = await failureOf(call());
      const line = printed(error, pretty);
      const reason = `failed: cannot connect to 127.0.0.1:${port}: no server listens there (ECONNREFUSED); check`;
      // Once as the message, once as the head of the stack.
      expect(line.split(reason), verb).toHaveLength(pretty ? 3 : 4);
      expect(line, verb).toContain(verb);
    }
  });

  test("prints no data of an event that was refused", async () => {
    const store = await fixture.seeded();
    const { schema, table } = store.config;
    await fixture.sql.unsafe(
      `alter table "${schema}"."${table}" add constraint own check (data ->> 'note' <> 'secret-7e1')`,
    );
    const { error } = await failureOf(store.commit("s", [event("A", { note: "secret-7e1" })], meta));
    const line = printed(error, pretty);
    expect(line).toContain("a constraint refused a row");
    expect(line).not.toContain("secret-7e1");
  });
});

test("a StoreError keeps what Act promises of it", () => {
  const cause = new Error("the first line\n  the second");
  const error = storeError("claim", cause);
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({ name: "ERR_STORE", operation: "claim", cause });
  expect(error.message).toBe('Store operation "claim" failed: the first line the second');
  expect(error.stack?.split("\n")[0]).toBe(`ERR_STORE: ${error.message}`);
  expect(error.stack).toContain("log.test.ts");
  expect(error.stack).not.toContain("store-error.ts");
});

test("a StoreError is not wrapped again", () => {
  const error = storeError("claim", new Error("why"));
  expect(toStoreError("ack", error)).toBe(error);
});
