/** The types of the installed package, as the compilers and settings of its users see them. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { COMPILERS, compile } from "../support/typescript.ts";
import { installPackage, link } from "./install.ts";

let project: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ project, remove } = await installPackage());
  await link(project, ["@types/node"]);
}, 120_000);
afterAll(() => remove?.());

/** Where the types are what they say, each line compiles; where they are `any`, the marked ones do not. */
const consumer = `
import { store, type Store } from "@rotorsoft/act";
import { ConnectionError, DatabaseError, PostgresStore, type Config, type PostgresStoreOptions } from "act-drizzle";
import { Admin } from "act-drizzle/admin";
import { type ActTables, actTables, events } from "act-drizzle/schema";
import { actPositions, backfill, exactlyOnce, inline, ProjectionError } from "act-drizzle/projections";
import { typedEvents } from "act-drizzle/queries";
import { type TestKit, testKit } from "act-drizzle/testing";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { z } from "zod";

const options: PostgresStoreOptions = { url: "postgres://localhost/db", notify: true, ssl: "require" };
const adapter: Store = store(new PostgresStore(options));
const config: Config = new PostgresStore().config;
const host: string = config.host;
// @ts-expect-error: a port is a number or a string
new PostgresStore({ port: true });
// @ts-expect-error: no such option
new PostgresStore({ hots: "a" });
// @ts-expect-error: a config is there to be read
config.max = 5;
// @ts-expect-error: a host is a string
const wrong: number = config.host;
export const traced = new Admin(adapter).trace("c", { limit: undefined, payload: undefined });
export const drained = (kit: TestKit<never>) => kit.drained({ timeout: undefined });
const ddl: string = PostgresStore.ddl({ schema: "a" });
const code: string = new DatabaseError("42P01", "").code + new ConnectionError("STORE_CLOSED", "", false).code;

const db = drizzle(postgres());
const { streams } = actTables({ schema: "tenant", table: "log" });
async function rows(): Promise<{ id: number; stream: string; at: number }[]> {
  const [row] = await db.select({ id: events.id, created: events.created }).from(events);
  // @ts-expect-error: a time is a Date
  const time: number | undefined = row?.created;
  const found = await db.select({ stream: streams.stream, at: streams.at }).from(streams);
  return found.map((one) => ({ ...one, id: row?.id ?? 0 }));
}
const once = exactlyOnce({ db, projection: "p", positions: actPositions({ schema: "tenant" }) });
export const handler = once.do(async (event: { id: number; stream: string }, tx, stream) => {
  const found: { id: number }[] = await tx.select({ id: events.id }).from(events);
  // @ts-expect-error: a target is a string
  const target: number = stream;
});
export const perhapsProjected = (isOn: boolean) =>
  inline({ events: { Paid: z.object({ amount: z.number() }) }, on: { Paid: isOn ? async () => {} : undefined } });
export const log = typedEvents<{ Paid: { amount: number; at: Date } }>(events);
const paid = log.named("Paid");
export async function when(): Promise<string | undefined> {
  const [row] = await db.select({ data: paid.data }).from(paid);
  // @ts-expect-error: jsonb holds a text
  const at: Date | undefined = row?.data.at;
  return row?.data.at;
}
// @ts-expect-error: a projection has a name
exactlyOnce({ db });
// @ts-expect-error: an app is needed
backfill({ store: new PostgresStore() });
const failed: string = new ProjectionError("BLOCKED", "").code;
export { failed, testKit, type TestKit };
// With \`declaration: true\` each of these types has to have a name that users can reach.
export class Subclass extends PostgresStore {}
export const projected = inline({ events: {}, on: {} });
export const made = new PostgresStore({ url: process.env.DATABASE_URL });
export const tables = made.tables;
export const defaults: ActTables["events"] = actTables().events;
export const tenant = actTables({ schema: "tenant", table: "log" });
export { adapter, code, ddl, host, rows, wrong };
`;

const common = {
  target: "es2023",
  lib: ["es2023"],
  types: ["node"],
  strict: true,
  esModuleInterop: true,
  exactOptionalPropertyTypes: true,
  declaration: true,
  outDir: "out",
};

/** What the compiler says of files that have this text. */
async function complaints(
  compiler: string,
  files: readonly string[],
  text: string,
  options: object,
): Promise<string> {
  const config = `tsconfig.${files[0]}.json`;
  const compilerOptions = { ...common, skipLibCheck: true, ...options };
  for (const file of files) await writeFile(join(project, file), text);
  await writeFile(join(project, config), JSON.stringify({ compilerOptions, files }));
  return compile(compiler, config, project);
}

// Act is an ES module, which node16 lets no CommonJS module import.
const KINDS = [
  {
    kind: "an ES module and a CommonJS module under nodenext",
    files: ["consumer.mts", "consumer.cts"],
    options: { module: "nodenext" },
  },
  { kind: "an ES module under node16", files: ["sixteen.mts"], options: { module: "node16" } },
  {
    kind: "a module under bundler",
    files: ["bundled.ts"],
    options: { module: "preserve", moduleResolution: "bundler" },
  },
];
// TypeScript 7 has no node10.
const NODE10 = {
  kind: "a module under node10",
  files: ["ten.ts"],
  options: { module: "commonjs", moduleResolution: "node10" },
};

const CASES = COMPILERS.flatMap(({ version, manifest }) =>
  [...KINDS, ...(version === "7" ? [] : [NODE10])].map((kind) => ({ version, manifest, ...kind })),
);

test.each(CASES)("TypeScript $version: they hold for $kind", async ({ manifest, files, options }) => {
  expect(await complaints(manifest, files, consumer, options)).toBe("");
});

test.each(COMPILERS)(
  "TypeScript $version: with skipLibCheck: false only files of other packages are complained of",
  async ({ manifest }) => {
    const options = { module: "nodenext", skipLibCheck: false };
    const output = await complaints(manifest, ["checked.mts"], consumer, options);
    const errors = output.split("\n").filter((line) => line.includes("error TS"));
    expect(errors.filter((line) => !/node_modules\/(?!act-drizzle\/)/.test(line))).toEqual([]);
  },
);

test.each(COMPILERS)("TypeScript $version: they hold without drizzle-orm", async ({ manifest }) => {
  await rm(join(project, "node_modules/drizzle-orm"), { force: true });
  const text = `import { PostgresStore } from "act-drizzle";
export const store = new PostgresStore({ url: "postgres://localhost/db" });
// @ts-expect-error: a port is a number or a string
new PostgresStore({ port: true });
`;
  try {
    expect(await complaints(manifest, ["alone.mts"], text, { module: "nodenext" })).toBe("");
  } finally {
    await link(project, ["drizzle-orm"]);
  }
});
