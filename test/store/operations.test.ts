/** Which verbs a closed store still carries out, and for how long it waits for them. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { Operations } from "../../src/operations.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { failureOf } from "../postgres/fixture.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));
const CLOSED = {
  name: "ERR_STORE",
  operation: "verb",
  cause: { code: "STORE_CLOSED", message: "the store is disposed: create a new PostgresStore" },
};
const never = new Promise<never>(() => {});
const HOUR = 3_600_000;

/** Closes, and tells whether that has ended. */
function closing(operations: Operations) {
  const state = { ended: false };
  void operations.close(HOUR).then(() => {
    state.ended = true;
  });
  return state;
}

test("a verb's result and its failure are passed on", async () => {
  const operations = new Operations();
  expect(await operations.run("verb", async () => 7)).toBe(7);
  const failure = new Error("own");
  await expect(operations.run("verb", () => Promise.reject(failure))).rejects.toBe(failure);
});

test("with nothing running it closes at once, and refuses every verb from then on", async () => {
  const operations = new Operations();
  await operations.run("verb", async () => {});
  await operations.close(HOUR);
  const { error } = await failureOf(operations.run("verb", async () => "done"));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject(CLOSED);
  expect(() => operations.assertOpen("verb")).toThrow(StoreError);
});

test("a verb is refused from the call of close on, and not called", async () => {
  const operations = new Operations();
  const { passed, open } = gate();
  const before = operations.run("verb", () => passed);
  const closed = operations.close(HOUR);
  let called = false;
  const { error } = await failureOf(
    operations.run("verb", async () => {
      called = true;
    }),
  );
  expect(error).toMatchObject(CLOSED);
  expect(called).toBe(false);
  open();
  await Promise.all([before, closed]);
});

test("it waits for all that were called before, also for one that fails", async () => {
  const operations = new Operations();
  const gates = [gate(), gate()];
  const works = [
    operations.run("verb", async () => gates[0]?.passed),
    operations
      .run("verb", async () => {
        await gates[1]?.passed;
        throw new Error("own");
      })
      .catch(() => {}),
  ];
  const state = closing(operations);
  gates[0]?.open();
  await works[0];
  await turn();
  expect(state.ended).toBe(false);
  gates[1]?.open();
  await works[1];
  await turn();
  expect(state.ended).toBe(true);
});

test("it waits no longer than its limit", async () => {
  const operations = new Operations();
  void operations.run("verb", () => never);
  await operations.close(1);
});

test("what a running verb calls itself is carried out, and waited for even where the verb itself does not", async () => {
  const operations = new Operations();
  const { passed, open } = gate();
  const inner = gate();
  let nested: Promise<string> | undefined;
  const outer = operations.run("verb", async () => {
    await passed;
    nested = operations.run("verb", async () => {
      await operations.run("verb", () => inner.passed);
      return "nested";
    });
  });
  const state = closing(operations);
  open();
  await outer;
  await turn();
  expect(state.ended).toBe(false);
  inner.open();
  expect(await nested).toBe("nested");
  await turn();
  expect(state.ended).toBe(true);
});

test("what a verb has left behind when it ended is refused like any other", async () => {
  const operations = new Operations();
  const { passed, open } = gate();
  const left: Promise<unknown>[] = [];
  await operations.run("verb", async () => {
    left.push(passed.then(() => operations.run("verb", async () => "done")));
  });
  await operations.close(HOUR);
  open();
  await expect(left[0]).rejects.toMatchObject(CLOSED);
});

test("a verb of another store is no verb of this one", async () => {
  const [one, other] = [new Operations(), new Operations()];
  await one.close(HOUR);
  await expect(other.run("verb", () => one.run("verb", async () => {}))).rejects.toMatchObject(CLOSED);
});

test("a verb that waits for the end itself is not waited for, nor are those that it runs in", async () => {
  const operations = new Operations();
  const dispose = () => {
    operations.leave();
    return operations.close(HOUR);
  };
  const ended = operations.run("verb", () => operations.run("verb", dispose));
  await ended;
});

test("two verbs that wait for the same end do not wait for one another", async () => {
  const operations = new Operations();
  const { passed, open } = gate();
  let closed: Promise<void> | undefined;
  const dispose = async () => {
    await passed;
    operations.leave();
    closed ??= operations.close(HOUR);
    return closed;
  };
  const both = Promise.all([operations.run("verb", dispose), operations.run("verb", dispose)]);
  open();
  await both;
});
