import { dispose, InMemoryStore, store } from "@rotorsoft/act";
import { eq } from "drizzle-orm";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compare, factsOfGit, factsOfTables } from "../../examples/git/check.ts";
import { buildWriter } from "../../examples/git/domain.ts";
import { openRepository, readCommits } from "../../examples/git/git.ts";
import { ingest } from "../../examples/git/ingest.ts";
import { buildReader, CHURN, HOT_FILES } from "../../examples/git/read-models.ts";
import { differencesText } from "../../examples/git/report.ts";
import {
  authorChurn,
  claimSchema,
  type Database,
  hotFiles,
  openDatabase,
  recreateTables,
} from "../../examples/git/tables.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { lines, TestRepository } from "./repository.ts";

let database: TestDatabase;
let db: Database;
let repository: TestRepository;
let tip: string;

beforeAll(async () => {
  database = await createDatabase();
  db = openDatabase(database.url);
  repository = writeRepository();
  tip = (await openRepository(repository.path)).tip ?? "";
});
afterAll(async () => {
  repository?.remove();
  await db?.end();
  await database?.drop();
});

beforeEach(async () => {
  store(new InMemoryStore());
  await recreateTables(db);
});
afterEach(() => dispose()());

/** A history with everything that can happen to a file, by two authors. */
function writeRepository(): TestRepository {
  const grace = { name: "Grace Hopper", email: "grace@example.org" };
  const history = new TestRepository();
  history.write("a", lines(20)).write("b", lines(2)).commit("add").commit("empty");
  history.write("a", lines(25)).commit("change", grace);
  history
    .move("a", "deep/ünï code")
    .write("image", Buffer.from([0, 1]))
    .commit("rename, and a binary", grace);
  history.delete("b").commit("delete").write("b", lines(1, "again")).commit("again");
  for (let i = 1; i < 30; i++) history.write("b", lines(i, `${i}`)).commit(`change ${i}`);
  history.git("checkout", "--quiet", "-b", "branch", "HEAD~3");
  history.write("c\nd", lines(3)).commit("on a branch", grace);
  history.git("checkout", "--quiet", "main");
  history.git("merge", "--quiet", "--no-ff", "--message=merge", "branch");
  return history;
}

async function project(): Promise<void> {
  const reader = buildReader(db);
  for (;;) {
    await reader.correlate({ after: -1, limit: 50 });
    const { acked } = await reader.drain({ eventLimit: 7 });
    if (acked.length === 0) break;
  }
}

const differences = async () => compare(await factsOfGit(repository.path, tip), await factsOfTables(db));

async function importAll(): Promise<void> {
  await ingest(buildWriter(), readCommits(repository.path, tip), () => {});
  await project();
}

describe("the read models", () => {
  it("agree with git", async () => {
    await importAll();
    expect(await differences()).toEqual([]);
    const facts = await factsOfTables(db);
    expect(facts.authors.get("grace@example.org")).toEqual({ commits: 2, changes: 4, added: 5, removed: 0 });
    expect(facts.files.get("a")).toEqual({ commits: 3, added: 25, removed: 0, exists: false });
    expect(facts.files.get("deep/ünï code")).toMatchObject({ exists: true, commits: 1 });
    expect(facts.files.get("c\nd")).toMatchObject({ exists: true, added: 3 });
  });

  it("count an event once, however often it is delivered", async () => {
    await importAll();
    const before = await factsOfTables(db);
    const reader = buildReader(db);
    await reader.reset([CHURN, HOT_FILES]);
    await project();
    expect(await factsOfTables(db)).toEqual(before);
  });

  it("can be rebuilt from the log", async () => {
    await importAll();
    await recreateTables(db);
    await buildReader(db).reset([CHURN, HOT_FILES]);
    await project();
    expect(await differences()).toEqual([]);
  });
});

describe("the check", () => {
  it("finds a wrong number, a missing row and a row too many", async () => {
    await importAll();
    await db.update(authorChurn).set({ added: 1 }).where(eq(authorChurn.email, "grace@example.org"));
    await db.update(hotFiles).set({ exists: false }).where(eq(hotFiles.path, "image"));
    await db.delete(hotFiles).where(eq(hotFiles.path, "a"));
    await db.insert(hotFiles).values({
      ...{ stream: "file:never", path: "never", exists: true, commits: 1, added: 0, removed: 0 },
    });
    const found = await differences();
    expect(found).toEqual([
      { what: "author grace@example.org", field: "added", git: 5, table: 1 },
      { what: "file a", field: "row", git: "there", table: "missing" },
      { what: "file image", field: "exists", git: true, table: false },
      { what: "file never", field: "row", git: "missing", table: "there" },
    ]);
    expect(differencesText(found)).toMatch(/grace@example\.org\s*│ added\s*│\s*5 │\s*1/);
  });
});

describe("a database", () => {
  it("is used by one demo at a time", async () => {
    const other = openDatabase(database.url, 1);
    const first = openDatabase(database.url, 1);
    expect(await claimSchema(first)).toBe(true);
    expect(await claimSchema(other)).toBe(false);
    await first.end();
    await expect.poll(() => claimSchema(other)).toBe(true);
    await other.end();
  });
});
