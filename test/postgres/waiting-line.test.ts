/** Who gets the next free connection. */
import { expect, test } from "vitest";
import { WaitingLine } from "../../src/postgres/waiting-line.ts";

type Waiter = { readonly owner: { last: object | undefined } | undefined; readonly name: string };

function lineOf(...names: string[]) {
  const owners = new Map<string, { last: object | undefined }>();
  const line = new WaitingLine<Waiter>();
  const waiters = names.map((name) => {
    const key = name.charAt(0);
    const owner = owners.get(key) ?? { last: undefined };
    owners.set(key, owner);
    return { owner, name };
  });
  for (const waiter of waiters) line.push(waiter);
  const drain = () => Array.from({ length: line.length }, () => line.shift()?.name);
  return { line, waiters, drain };
}

test("callers of one owner are served first come, first served", () => {
  const line = new WaitingLine<Waiter>();
  for (const name of ["1", "2", "3"]) line.push({ owner: undefined, name });
  expect([line.shift()?.name, line.shift()?.name, line.shift()?.name, line.shift()]).toEqual([
    "1",
    "2",
    "3",
    undefined,
  ]);
});

test("owners take turns, however many callers one of them has", () => {
  expect(lineOf("a1", "a2", "a3", "b1", "c1", "b2").drain()).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
});

test("an owner that comes back waits behind the others", () => {
  const { line, waiters, drain } = lineOf("a1", "b1", "c1");
  const [first] = waiters;
  expect(line.shift()).toBe(first);
  line.push({ owner: first?.owner, name: "a2" });
  expect(drain()).toEqual(["b1", "c1", "a2"]);
});

test("one that gives up is left out, first or last of its owner", () => {
  const { line, waiters, drain } = lineOf("a1", "a2", "b1", "a3");
  const [first, , other, last] = waiters;
  if (!first || !other || !last) throw new Error("there are four");
  line.remove(first);
  line.remove(last);
  line.remove(other);
  line.remove(other);
  expect(line.length).toBe(1);
  expect(drain()).toEqual(["a2"]);
});

test("those for whom a condition holds are taken out", () => {
  const { line, drain } = lineOf("a1", "b1", "a2", "b2");
  expect(line.takeIf(({ name }) => name.endsWith("1")).map(({ name }) => name)).toEqual(["a1", "b1"]);
  expect(line.length).toBe(2);
  expect(drain()).toEqual(["a2", "b2"]);
});

test("a connection goes to an owner that used it last, though it is not its turn", () => {
  const { line, waiters, drain } = lineOf("a1", "b1", "c1", "c2");
  const connection = {};
  const owner = waiters[2]?.owner;
  if (owner) owner.last = connection;
  expect(line.shift(connection)?.name).toBe("c1");
  expect(drain()).toEqual(["a1", "b1", "c2"]);
});

test("the owner whose turn it is is passed over a few times only", () => {
  const { line, waiters } = lineOf("a1", ...Array.from({ length: 20 }, (_, n) => `b${n}`));
  const connection = {};
  const owner = waiters[1]?.owner;
  if (owner) owner.last = connection;
  const order = Array.from({ length: 12 }, () => line.shift(connection)?.name);
  expect(order.indexOf("a1")).toBe(8);
});
