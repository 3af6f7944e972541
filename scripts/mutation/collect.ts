/**
 * Stands in for "vitest" in the copy's test files: it keeps what they declare, so that a warm worker can run
 * any of their tests at any time, again and again.
 */
import { expect, vi } from "vitest";

export * from "vitest";

type Fn = (...args: never[]) => unknown;
type Each = (name: string, ...rest: unknown[]) => void;
type Hook = () => unknown;

export type Collected = { readonly name: string; readonly file: string; readonly run: () => Promise<void> };

export const collected: Collected[] = [];
/** Of the file that is being read: to be run once, now. */
export const setups: Hook[] = [];
const finished: Hook[] = [];
let file = "";
let titles: readonly string[] = [];
let before: readonly Hook[] = [];

export function startFile(name: string): void {
  file = name;
  titles = [];
  before = [];
}

export const onTestFinished = (hook: Hook): void => void finished.push(hook);
export const beforeAll = (hook: Hook): void => void setups.push(hook);
export const afterAll = (): void => {};
export const beforeEach = (hook: Hook): void => {
  before = [...before, hook];
};

/** `$key` and `%s` are filled in as vitest does, roughly: names need only differ. */
function titled(name: string, row: unknown, i: number): string {
  const filled = name
    .replaceAll(/\$(\w+)/g, (whole, key: string) =>
      typeof row === "object" && row !== null && key in row ? String(Reflect.get(row, key)) : whole,
    )
    .replaceAll(/%[sid]/g, () => String(Array.isArray(row) ? row[0] : row));
  return filled === name ? `${name} #${i + 1}` : filled;
}

const functionOf = (rest: readonly unknown[]): Fn | undefined =>
  rest.find((part): part is Fn => typeof part === "function");

function declare(name: string, args: readonly unknown[], ...rest: unknown[]): void {
  const fn = functionOf(rest);
  if (!fn) return;
  const hooks = before;
  const context = { expect, onTestFinished };
  const run = async () => {
    try {
      for (const hook of hooks) await hook();
      await Reflect.apply(fn, undefined, args.length > 0 ? args : [context]);
    } finally {
      // Before the hooks give the clock back: a spy on a false setTimeout would put that one back later.
      vi.restoreAllMocks();
      for (const hook of finished.splice(0).reverse()) await hook();
    }
  };
  collected.push({ name: [file, ...titles, name].join(" "), file, run });
}

const each =
  (rows: readonly unknown[]): Each =>
  (name, ...rest) => {
    for (const [i, row] of rows.entries())
      declare(titled(name, row, i), Array.isArray(row) ? row : [row], ...rest);
  };

const one: Each = (name, ...rest) => declare(name, [], ...rest);
const none: Each = () => {};
export const test = Object.assign(one, {
  each,
  skip: none,
  fails: none,
  todo: none,
  skipIf: (condition: unknown) => (condition ? none : one),
  runIf: (condition: unknown) => (condition ? one : none),
});
export const it = test;

function group(name: string, args: readonly unknown[], ...rest: unknown[]): void {
  const outer = { titles, before };
  titles = [...titles, name];
  Reflect.apply(functionOf(rest) ?? none, undefined, args);
  ({ titles, before } = outer);
}

const describeOne: Each = (name, ...rest) => group(name, [], ...rest);
export const describe = Object.assign(describeOne, {
  each:
    (rows: readonly unknown[]): Each =>
    (name, ...rest) => {
      for (const [i, row] of rows.entries())
        group(titled(name, row, i), Array.isArray(row) ? row : [row], ...rest);
    },
  skipIf: (condition: unknown) => (condition ? none : describeOne),
  runIf: (condition: unknown) => (condition ? describeOne : none),
});
