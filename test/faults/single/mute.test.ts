/** A server that accepts connections and never says a word: each commit settles by its own deadline. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { ConnectionError } from "../../../src/index.ts";
import { event, failureOf, meta, useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";

const fixture = useDatabase();
const LIMIT = 1_000;
const COMMITS = 8;

/** A store on a server that is mute. */
async function onMute() {
  const proxy = await TcpProxy.before(fixture.parts);
  proxy.mode = "silent";
  const way = { host: "127.0.0.1", port: proxy.port };
  return fixture.store({ ...way, connectionTimeoutMillis: LIMIT });
}

/** What the commits, called so many ms apart, were told, and after how long. */
async function failures(apart: number) {
  const store = await onMute();
  const all = Array.from({ length: COMMITS }, async (_, k) => {
    // The pace of the calls.
    await new Promise((resolve) => setTimeout(resolve, k * apart));
    return failureOf(store.commit(`s${k}`, [event()], meta));
  });
  const told = await Promise.all(all);
  console.log(told.map(({ millis }) => `${Math.round(millis)} ms`).join(", "));
  return told;
}

test.each([
  ["at once", 0],
  ["one after the other", 250],
])("commits on it that are called %s fail by their own deadlines", async (_, apart) => {
  const told = await failures(apart);
  // For the connection, and for one before it that was under way.
  const late = told.map(({ millis }) => Math.round(millis)).filter((millis) => millis > 2 * LIMIT + 1_000);
  expect(late).toEqual([]);
});

test("a commit on it fails with a ConnectionError that says that it was not sent", async () => {
  const store = await onMute();
  const { error } = await failureOf(store.commit("s", [event()], meta));
  expect(error).toMatchObject({ name: "ERR_STORE", operation: "commit" });
  const cause = error instanceof StoreError ? error.cause : undefined;
  expect(cause).toBeInstanceOf(ConnectionError);
  expect(cause).toMatchObject({ sent: false });
});
