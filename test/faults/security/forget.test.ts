/** What forget_pii leaves in the files of the database. Not looked at: WAL, standbys, backups (docs/guides/security.md). */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type RunningPostgres, startPostgres } from "../../../dev/postgres/index.ts";
import { PostgresStore, type PostgresStoreOptions } from "../../../src/index.ts";
import { meta } from "../../postgres/fixture.ts";
import { connect } from "../../support/database.ts";

let server: RunningPostgres;
beforeAll(async () => {
  server = await startPostgres({ prefer: "embedded", inMemory: true });
});
afterAll(() => server?.stop());

/** How often a text is found in all files of all databases, once everything is written. */
async function traces(text: string): Promise<number> {
  const sql = connect(server.url);
  await sql`checkpoint`;
  await sql.end();
  const base = join(server.dataDir ?? "", "base");
  let found = 0;
  for (const file of readdirSync(base, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const bytes = readFileSync(join(file.parentPath, file.name));
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) found++;
  }
  return found;
}

const mark = () => `secret-${randomBytes(9).toString("hex")}`;
/** Too large for a page and not to be compressed: it goes to TOAST as it is. */
const bulk = () => randomBytes(6_000).toString("hex");

async function seeded(options: PostgresStoreOptions): Promise<PostgresStore> {
  const store = new PostgresStore({ url: server.url, ...options });
  onTestFinished(() => store.dispose());
  await store.seed();
  return store;
}

test("forget_pii and VACUUM FULL leave nothing readable in heap and TOAST", async () => {
  const store = await seeded({ table: "plain" });
  const [small, large, other] = [mark(), mark(), mark()];
  for (let n = 0; n < 50; n++) {
    await store.commit("ada", [{ name: "A", data: { n }, pii: { mail: small } }], meta);
    await store.commit(
      "ada",
      [{ name: "A", data: { n }, pii: { scan: `${bulk()}${large}${bulk()}` } }],
      meta,
    );
    await store.commit("bob", [{ name: "A", data: { n }, pii: { mail: other } }], meta);
  }
  // They are found while they are there: the search works.
  for (const text of [small, large, other]) expect(await traces(text)).toBeGreaterThanOrEqual(50);
  expect(await store.forget_pii("ada")).toBe(100);
  const sql = connect(server.url);
  await sql`vacuum full plain`;
  await sql.end();
  expect(await traces(small)).toBe(0);
  expect(await traces(large)).toBe(0);
  expect(await traces(other)).toBeGreaterThanOrEqual(50);
  expect(await store.query(() => {}, { stream: "ada", stream_exact: true })).toBe(100);
});

test("with pii_encryption it is never readable in them", async () => {
  const store = await seeded({ table: "sealed", pii_encryption: { key: randomBytes(32) } });
  const [value, control] = [mark(), mark()];
  for (let n = 0; n < 20; n++)
    await store.commit(
      "ada",
      [{ name: "A", data: { control }, pii: { mail: value, [value]: new Date(n) } }],
      meta,
    );
  expect(await traces(control)).toBeGreaterThanOrEqual(20);
  expect(await traces(value)).toBe(0);
});
