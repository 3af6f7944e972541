/** A store with something of everything in it, and all that it holds, to tell whether a call has changed it. */
import { inspect } from "node:util";
import type { PostgresStore } from "../../src/index.ts";
import type { DatabaseFixture } from "../postgres/fixture.ts";

const meta = { correlation: "filled", causation: {} };

/** Events with and without pii, a snapshot; a leased, a blocked and a pending subscription; a checkpoint. */
export async function fill(store: PostgresStore): Promise<void> {
  await store.commit(
    "s",
    [
      { name: "A", data: { n: 1 }, pii: { email: "a@example.com" } },
      { name: "__snapshot__", data: { n: 1 } },
      { name: "B", data: { at: new Date(0) } },
    ],
    meta,
  );
  await store.subscribe([{ stream: "leased", source: "s", correlated_at: 9 }], 2);
  await store.claim(1, 0, "w", 3_600_000);
  await store.subscribe([{ stream: "blocked", correlated_at: 9 }]);
  const [lease] = await store.claim(1, 0, "w", 3_600_000);
  if (lease) await store.block([{ ...lease, error: "poison" }]);
  await store.subscribe([{ stream: "pending", lane: "slow", priority: 3, correlated_at: 9 }]);
}

/** Every row of the store's tables, as text. */
export async function contents({ sql }: DatabaseFixture, { config }: PostgresStore): Promise<string> {
  const { schema, table } = config;
  const all = await Promise.all(
    [table, `${table}_streams`, `${table}_correlated`].map(
      (name) => sql`select t::text as row from ${sql(schema)}.${sql(name)} t order by 1`,
    ),
  );
  return all.flatMap((rows) => rows.map(({ row }) => row)).join("\n");
}

/** How a call ended. A throw where a promise was due is told apart, for nobody catches that. */
export async function outcomeOf(
  call: () => Promise<unknown>,
): Promise<{ value: unknown } | { error: unknown }> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    return { value: `thrown, not rejected: ${inspect(error)}` };
  }
  return promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
}

/** What was passed, for the message of a failed test. */
export const shown = (value: unknown): string =>
  inspect(value, { breakLength: Number.POSITIVE_INFINITY }).slice(0, 60);
