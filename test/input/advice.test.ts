/** What an error advises is right in each situation in which its code comes up. */
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { sanitize } from "../../src/errors.ts";
import type { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

const eventsOf = ({ config }: PostgresStore) => `"${config.schema}"."${config.table}"`;
const ownOf = (store: PostgresStore) => eventsOf(store).replace(/"$/, '_own"');

/** The cause of a verb's failure, which has this code, and whose message matches. */
async function advises(failing: Promise<unknown>, code: string, ...advice: RegExp[]) {
  const { error } = await failureOf(failing);
  expect(error).toMatchObject({ name: "ERR_STORE", cause: { name: "DatabaseError", code } });
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  for (const one of advice) expect(cause?.message).toMatch(one);
  return cause;
}

/** A trigger of the user's own on the events table. */
async function triggered(body: string): Promise<PostgresStore> {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`create function ${ownOf(store)}() returns trigger language plpgsql as $$
    begin ${body} return new; end $$;
    create trigger own before insert on ${eventsOf(store)} for each row execute function ${ownOf(store)}()`);
  return store;
}

const commit = (store: PostgresStore, stream = "s") => store.commit(stream, [event()], meta);

test("a foreign key on the store's table: the row that it refers to is missing", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`create table ${ownOf(store)} (stream text primary key);
    alter table ${eventsOf(store)} add constraint known_streams foreign key (stream) references ${ownOf(store)}`);
  const cause = await advises(commit(store), "23503", /on the store's table, first insert the row/);
  expect(cause).toMatchObject({ constraint: "known_streams", table: store.config.table });
  await fixture.sql.unsafe(`insert into ${ownOf(store)} values ('s')`);
  expect(await commit(store)).toHaveLength(1);
});

test("a foreign key that refers to the store's rows: its own rows are in the way", async () => {
  const store = await fixture.seeded();
  await commit(store);
  await fixture.sql.unsafe(
    `create table ${ownOf(store)} as select id from ${eventsOf(store)};
    alter table ${ownOf(store)} add constraint of_event foreign key (id) references ${eventsOf(store)}`,
  );
  const cause = await advises(
    store.truncate([{ stream: "s" }]),
    "23503",
    /refers to the store's rows, delete the referring rows first/,
  );
  expect(cause).toMatchObject({ constraint: "of_event", table: `${store.config.table}_own` });
  await fixture.sql.unsafe(`delete from ${ownOf(store)}`);
  expect((await store.truncate([{ stream: "s" }])).size).toBe(1);
});

test("a rule on the log: PostgreSQL refuses each commit, until the rule is dropped", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`create table ${ownOf(store)} (stream text);
    create rule own as on insert to ${eventsOf(store)} do also insert into ${ownOf(store)} values (new.stream)`);
  await advises(commit(store), "0A000", /a rule on the store's tables rewrites it \(drop the rule/);
  await fixture.sql.unsafe(`drop rule own on ${eventsOf(store)}`);
  expect(await commit(store)).toHaveLength(1);
});

test("a unique index of the user's own has the value already", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`create unique index own on ${eventsOf(store)} ((data ->> 'email'))`);
  const register = (stream: string) => store.commit(stream, [event("A", { email: "e" })], meta);
  await register("a");
  const cause = await advises(register("b"), "23505", /if it is yours, the value is there already/);
  expect(cause).toMatchObject({ constraint: "own" });
});

test("ids that are behind the log are moved behind it, by a commit where the role may, else by seed(), as it says", async () => {
  const owner = await fixture.seeded();
  const sequence = eventsOf(owner).replace(/"$/, '_id_seq"');
  for (let n = 0; n < 3; n++) await commit(owner);
  await fixture.sql.unsafe(`alter sequence ${sequence} restart with 1`);
  expect(await commit(owner)).toMatchObject([{ id: 4 }]);
  await fixture.sql.unsafe(`alter sequence ${sequence} restart with 1`);
  const role = await fixture.role();
  if (role) {
    await fixture.sql.unsafe(`grant usage on schema "${owner.config.schema}" to ${role.user};
      grant all on all tables in schema "${owner.config.schema}" to ${role.user};
      grant usage on sequence ${sequence} to ${role.user}`);
    const { schema, table } = owner.config;
    const other = fixture.store({ ...role, schema, table });
    await advises(commit(other), "42501", /permission denied for sequence.*seed\(\) as the owner moves it/);
  }
  await owner.seed();
  expect(await commit(owner)).toHaveLength(1);
});

test("a trigger's own table and column are missing, not the store's", async () => {
  const table = await triggered("insert into nowhere values (1);");
  await advises(commit(table), "42P01", /"nowhere".*a trigger of yours asks for it/s);
  const column = await triggered("new.nothing := 1;");
  await advises(commit(column), "42703", /"nothing".*a trigger of yours asks for it/s);
});

test("what a trigger raises is its own, whatever code it takes", async () => {
  const store = await triggered("raise unique_violation using message = 'secret ' || new.stream;");
  const cause = await advises(commit(store), "23505", /a trigger or function of yours raised it/);
  expect(cause?.message).not.toMatch(/another writer|secret/);
});

const allGrants = ({ config: { schema } }: PostgresStore, { user }: { readonly user: string }) =>
  `grant usage on schema "${schema}" to ${user};
    grant all on all tables in schema "${schema}" to ${user};
    grant all on all sequences in schema "${schema}" to ${user};`;

test("a primary may be read-only by a setting", async (context) => {
  const owner = await fixture.seeded();
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  await fixture.sql.unsafe(`${allGrants(owner, role)}
    alter role ${role.user} set default_transaction_read_only = on`);
  const store = fixture.store({ ...role, table: owner.config.table });
  await advises(commit(store), "25006", /look at default_transaction_read_only/);
});

test("row-level security is on, though no privilege is lacking", async (context) => {
  const owner = await fixture.seeded();
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  await fixture.sql.unsafe(`${allGrants(owner, role)}
    alter table ${eventsOf(owner)} enable row level security;
    create policy own on ${eventsOf(owner)} using (true) with check (stream <> 'forbidden')`);
  const store = fixture.store({ ...role, table: owner.config.table });
  for (const failing of [() => commit(store), () => store.query(() => {}), () => store.query_stats({})])
    await advises(
      failing(),
      "42501",
      /row-level security is on for it: .* grant what is missing, such as BYPASSRLS/,
    );
});

test("a statement may be cancelled by an administrator too", async () => {
  const store = await fixture.seeded();
  const held = await fixture.hold(store);
  const truncated = advises(store.truncate([{ stream: "s" }]), "57014", /or by an administrator/);
  const waiting = async () => {
    const [pid] = await fixture.lockWaiters();
    return pid;
  };
  await until("the truncate waits", async () => (await waiting()) !== undefined);
  await fixture.sql`select pg_cancel_backend(${(await waiting()) ?? 0})`;
  await truncated;
  await held.release();
});

test("a stream's name that no index takes is told with what an index takes", async () => {
  const store = await fixture.seeded();
  // Random, for a name that compresses well is stored shorter.
  await advises(commit(store, randomBytes(4_000).toString("hex")), "54000", /about 2,700 bytes/);
});

test.each<[string, string, RegExp]>([
  ["54000", "too many notifications in the NOTIFY queue", /NOTIFY queue is full, end the session/],
  ["53200", "out of shared memory", /max_locks_per_transaction/],
  ["53300", 'too many connections for role "app"', /max_connections\), the database or the role/],
  ["40001", "canceling statement due to conflict with recovery", /hot_standby_feedback/],
  ["40001", "could not serialize access due to concurrent update", /rolled back: try again/],
  ["40P01", "deadlock detected", /rolled back: try again/],
  ["55P03", "canceling statement due to lock timeout", /lock_timeout.*pg_locks/],
  ["57P01", "terminating connection due to administrator command", /the server is shutting down/],
  ["57P03", "the database system is in recovery mode", /recovering: try again/],
  ["26000", 'prepared statement "x" does not exist', /prepare: false; elsewhere.*DEALLOCATE/],
  ["2200H", "", /if it is that of the store's int4 ids/],
  ["22003", "", /in a column or in a trigger of yours/],
])("%s (%s) is told with a text that fits", (code, message, advice) => {
  const told = sanitize({ code, message });
  expect(told.message).toMatch(advice);
  expect(told.message).toContain(message);
});
