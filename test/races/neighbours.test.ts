/** Commits that share a group: what the database refuses of one is not its neighbours' fault. */
import { StoreError } from "@rotorsoft/act";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let store: PostgresStore;
const meta = { correlation: "neighbours", causation: {} };

beforeAll(async () => {
  database = await createDatabase();
  store = new PostgresStore({ url: database.url, schema: database.schema });
  await store.seed();
});
afterAll(async () => {
  await store.dispose();
  await database.drop();
});

test("a commit that the database refuses fails alone, and its neighbours land in their order", async () => {
  // A name that does not fit into an index, and does not compress: only the server notices.
  const unindexable = Array.from({ length: 9_000 }, (_, i) =>
    String.fromCharCode(0x4e00 + ((i * 7919) % 20_000)),
  ).join("");
  const streams = ["a", "b", unindexable, "c", "a"];
  const outcomes = await Promise.allSettled(
    streams.map((stream) => store.commit(stream, [{ name: "Said", data: {} }], meta)),
  );
  expect(outcomes.map((o) => o.status)).toEqual([
    "fulfilled",
    "fulfilled",
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
  const refused = outcomes[2]?.status === "rejected" ? outcomes[2].reason : undefined;
  expect(refused).toBeInstanceOf(StoreError);
  expect(refused).toMatchObject({ operation: "commit", cause: { code: "54000" } });
  const log: string[] = [];
  await store.query(({ stream, version }) => {
    log.push(`${stream}${version}`);
  });
  expect(log).toEqual(["a0", "b0", "c0", "a1"]);
});
