/** A program that awaits dispose() sees its end, however young the store is: nothing else keeps the process alive. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const STORE = join(import.meta.dirname, "../../src/index.ts");

test.each([
  ["right after seed()", "await store.seed();"],
  [
    "after a commit beside seed()'s warm-up",
    "await store.seed(); await store.commit('s', [{ name: 'N', data: {} }], { correlation: 'c', causation: {} });",
  ],
  ["without any call", ""],
])("%s", async (_, calls) => {
  const program = `
    import { PostgresStore } from ${JSON.stringify(STORE)};
    const store = new PostgresStore({ url: process.env.URL, table: "exits", connectionTimeoutMillis: 0, statement_timeout: 0 });
    ${calls}
    await store.dispose();
    console.log("disposed");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    env: { ...process.env, URL: fixture.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  const [code] = await once(child, "close");
  expect([code, out]).toEqual([0, "disposed\n"]);
});
