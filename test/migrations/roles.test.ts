/** A role that may work on the tables, but neither owns them nor creates any. */
import { randomBytes } from "node:crypto";
import type { Schemas } from "@rotorsoft/act";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { catalogOf } from "./catalog.ts";
import { causeOf, MigrationFixture, meta, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
const role = `act_worker_${randomBytes(4).toString("hex")}`;
let mayCreateRoles = false;

beforeAll(async () => {
  const [row] =
    await fixture.sql`select rolcreaterole or rolsuper as able from pg_roles where rolname = current_user`;
  mayCreateRoles = row?.able === true;
  if (mayCreateRoles) await fixture.sql.unsafe(`create role ${role} login password 'worker'`);
});
afterAll(async () => {
  if (mayCreateRoles) await fixture.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
});

/** The name, as the role connects to it. */
function asRole(name: TableName): TableName {
  const url = new URL(name.url);
  url.username = role;
  url.password = "worker";
  return { ...name, url: url.href };
}

/** All that a worker needs: docs/guides/migrating-from-act-pg.md repeats it. */
async function grant(name: TableName): Promise<void> {
  const { events, streams, correlated } = tablesOf(name);
  await fixture.sql.unsafe(`
    grant usage on schema "${name.schema}" to ${role};
    grant select, insert, update, delete on ${events}, ${streams}, ${correlated} to ${role};
    grant usage, select, update on sequence "${name.schema}"."${name.table}_id_seq" to ${role}`);
}

const ddlOf = ({ schema, table }: TableName) => PostgresStore.ddl({ schema, table });

const prepare: Record<string, (name: TableName) => Promise<unknown>> = {
  "by the owner's seed()": (name) => fixture.seeded(name),
  "by hand, with the DDL": (name) => fixture.connect().unsafe(ddlOf(name)),
  // As after the shipped migrations: complete, but not recorded.
  "without a record": async (name) => {
    await fixture.connect().unsafe(ddlOf(name));
    await fixture.sql.unsafe(`comment on table ${tablesOf(name).events} is null`);
  },
};

describe.each(Object.entries(prepare))("a schema prepared %s", (_, prepared) => {
  test("is enough for every verb", async (context) => {
    context.skip(!mayCreateRoles, "this server's user may not create roles");
    const name = fixture.name();
    await prepared(name);
    await grant(name);
    const before = await catalogOf(name);
    const store = fixture.store(asRole(name), { notify: true });
    const listener = fixture.store(asRole(name), { notify: true });
    const received: string[] = [];

    await store.seed();
    await store.seed();
    await listener.notify?.(({ stream }) => received.push(stream));
    await store.commit("s", [{ name: "A", data: {}, pii: { mail: "a@b.c" } }], meta, -1);
    await Promise.all(["s", "t", "t"].map((stream) => store.commit(stream, [{ name: "B", data: {} }], meta)));
    await until("all commits are received", async () => received.length === 4);
    expect(await store.query<Schemas>(() => {}, { stream: "^s$", names: ["A"] })).toBe(1);
    expect((await store.query_stats({}, { count: true })).get("t")?.count).toBe(2);
    expect(await store.forget_pii("s")).toBe(1);

    const streams = ["p", "q", "r"].map((stream) => ({ stream, correlated_at: 4 }));
    const asked = await store.subscribe(streams, 4, { key: "app", by: "w", millis: 60_000 });
    expect(asked).toMatchObject({ subscribed: 3, correlating: true });
    const [first, second] = await store.claim(2, 0, "w", 60_000);
    if (!first || !second) throw new Error("two of three were asked for");
    expect(await store.ack([{ ...first, at: 4 }])).toHaveLength(1);
    expect(await store.block([{ ...second, error: "poison" }])).toHaveLength(1);
    expect(await store.unblock({})).toBe(1);
    expect(await store.defer({}, Date.now() + 60_000)).toBe(3);
    expect(await store.prioritize({}, 7)).toBe(3);
    expect(await store.reset({})).toBe(3);
    expect(await store.query_streams(() => {})).toMatchObject({ count: 3, maxEventId: 4 });

    expect((await store.truncate([{ stream: "t" }])).get("t")?.deleted).toBe(2);
    await store.restore(async (callback) => {
      await callback({ id: 9, stream: "u", version: 0, name: "C", data: {}, created: new Date(), meta });
    });
    const [next] = await store.commit("u", [{ name: "D", data: {} }], meta, 0);
    expect(next?.id).toBeGreaterThan(1);
    expect(await causeOf(store.drop())).toContain("must be owner");
    expect(await catalogOf(name)).toEqual(before);
  });
});

test("the error names what the role must not create", async (context) => {
  context.skip(!mayCreateRoles, "this server's user may not create roles");
  const name = fixture.name();
  const absent = fixture.store({ ...asRole(name), schema: `${name.schema}_absent` });
  expect(await causeOf(absent.seed())).toMatch(/permission denied for database .*lacks a privilege/);

  await fixture.seeded(name);
  await grant(name);
  await fixture.sql.unsafe(`comment on table ${tablesOf(name).events} is null;
    drop index "${name.schema}"."${name.table}_name_id_ix"`);
  expect(await causeOf(fixture.store(asRole(name)).seed())).toMatch(
    /must be owner of table .*lacks a privilege/,
  );
});
