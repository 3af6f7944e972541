/** A command that is given an app learns from it, and does not work for it. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { meta, useDatabase } from "../postgres/fixture.ts";
import { runCommand } from "./command.ts";

const fixture = useDatabase();
const APP = join(import.meta.dirname, "listening.ts");

test.each([
  ["backfill", APP],
  ["blocked", "--app", APP],
  ["lag", "--app", APP],
])("%s ends by itself with an app that listens, and runs none of its reactions", async (...args) => {
  const store = await fixture.seeded({ notify: true });
  const { schema, table } = store.config;
  for (const stream of ["order-1", "order-2"])
    await store.commit(stream, [{ name: "Placed", data: { total: 1 } }], meta);
  const { code, out } = await runCommand([...args, "--schema", schema, "--table", table], {
    DATABASE_URL: fixture.url,
    APP_SCHEMA: schema,
    APP_TABLE: table,
  });
  expect(code).toBe(0);
  expect(out).not.toContain("HANDLED");
  const left = await store.claim(5, 0, "w", 10_000);
  expect(left.every(({ at }) => at === -1)).toBe(true);
  expect(left).toHaveLength(args[0] === "backfill" ? 2 : 0);
});
