/** `npm run studio`, asked as its page in the browser asks it: JSON by POST, all of it SQL. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { TestRepository } from "../demo/repository.ts";
import { deadPort } from "../postgres/proxy.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { Program } from "./program.ts";

let database: TestDatabase;
let repository: TestRepository;
let studio: Program;
let port: number;

async function start(): Promise<void> {
  port = await deadPort();
  const args = [repository.path, "--port", `${port}`];
  studio = new Program("scripts/studio.ts", args, { DATABASE_URL: database.url });
  await studio.says(/Drizzle Studio is up and running/);
}

beforeAll(async () => {
  database = await createDatabase();
  repository = new TestRepository();
  for (let i = 0; i < 12; i++) repository.write("file", `${i}\n`).commit(`change ${i}`);
  await start();
}, 90_000);
afterAll(async () => {
  await studio?.interrupt();
  repository?.remove();
  await database?.drop();
});

async function ask(body: unknown, host = "127.0.0.1"): Promise<unknown> {
  const response = await fetch(`http://${host}:${port}/`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return response.json();
}

/** What the page sends when a table is opened. */
const open = async (table: string) => {
  const data = {
    sql: `select * from "act_demo"."${table}" limit 50`,
    params: [],
    mode: "object",
    method: "all",
  };
  return z.array(z.record(z.string(), z.unknown())).parse(await ask({ type: "proxy", data }));
};

describe("Studio", { timeout: 90_000 }, () => {
  it("introduces itself to its page", async () => {
    expect(await ask({ type: "init" })).toMatchObject({
      dialect: "postgresql",
      packageName: expect.any(String),
    });
  });

  it("shows the rows of the store's three tables and of a read model", async () => {
    const events = await open("events");
    expect(events[0]).toMatchObject({
      name: "FileAdded",
      stream: "file:file",
      version: 0,
      data: { path: "file", added: 1 },
    });
    // 12 changes, a snapshot, and the reviews with which the demo shows a conflict.
    expect(events.filter(({ name }) => /^File/.test(`${name}`))).toHaveLength(12);
    expect((await open("events_streams")).map(({ stream }) => stream).sort()).toEqual([
      "author-churn",
      "hot-files",
    ]);
    expect(await open("events_correlated")).toContainEqual(expect.objectContaining({ key: "" }));
    expect(await open("hot_files")).toMatchObject([{ path: "file", commits: "12" }]);
  });

  it("listens on 127.0.0.1 only", async () => {
    await expect(ask({ type: "init" }, "127.0.0.2")).rejects.toThrow("fetch failed");
  });

  it("ends with Ctrl-C, and leaves no process and no connection", async () => {
    expect(await studio.interrupt()).toBe(130);
    // drizzle-kit's esbuild ends a moment after it.
    await expect.poll(() => studio.groupRuns).toBe(false);
    await expect(ask({ type: "init" })).rejects.toThrow("fetch failed");
    const sql = connect(database.url);
    const others = () => sql`select application_name from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`;
    await expect.poll(others).toEqual([]);
    await sql.end();
  });

  it("opens what is there, without another import", async () => {
    await start();
    expect(studio.output).not.toContain("Importing");
    expect(await open("events")).not.toHaveLength(0);
  });
});
