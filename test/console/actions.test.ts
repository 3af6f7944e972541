/** Each action by way of the console, with its effect in the database, and what keeps actions from happening. */
import { expect, onTestFinished, test } from "vitest";
import type { Action } from "../../src/console/api.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { brokenStore, Client, startOn } from "./fixture.ts";

const fixture = useDatabase();

type Row = {
  at: number;
  blocked: boolean;
  error: string | null;
  retry: number;
  priority: number;
  deferred_at: Date | null;
  leased_by: string | null;
  skipped: unknown;
};

const rowOf = async ({ config }: PostgresStore, stream: string): Promise<Row> => {
  const [row] = await fixture.sql<Row[]>`
    select at::int, blocked, error, retry, priority, deferred_at, leased_by, skipped
    from ${fixture.sql(config.schema)}.${fixture.sql(`${config.table}_streams`)} where stream = ${stream}`;
  if (!row) throw new Error(`no subscription ${stream}`);
  return row;
};

const opened = async (options = {}) => {
  const broken = await brokenStore(fixture);
  const running = await startOn(fixture, broken.store, options);
  return { ...broken, running, client: await Client.of(running) };
};

/** Looks at it, and does it. */
async function act(client: Client, action: Action) {
  const { body } = await client.post("/api/actions/preview", { action });
  const done = await client.post("/api/actions/run", { confirmation: body.confirmation });
  return { preview: body, status: done.status, result: done.body };
}

test("unblock lets a blocked subscription try its event again", async () => {
  const { client, store, poison } = await opened();
  const { preview, result } = await act(client, { type: "unblock", on: { streams: ["mailer", "report"] } });
  expect(preview.count).toEqual({ count: 1, exact: true });
  expect(preview.description).toBe("1 blocked subscription tries the event again that it stands at.");
  expect(preview.sample.map(({ stream, next, error }) => [stream, next?.id, error])).toEqual([
    ["mailer", poison, "SMTP 550: no such mailbox"],
  ]);
  expect(result.count).toBe(1);
  expect(await rowOf(store, "mailer")).toMatchObject({
    blocked: false,
    error: null,
    at: poison - 1,
    retry: -1,
  });
});

test("a role that may only read is told which privilege an action needs", async (context) => {
  const { store } = await brokenStore(fixture);
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  const { schema, table } = store.config;
  const { user } = role;
  await fixture.sql.unsafe(`grant usage on schema "${schema}" to ${user};
    grant select on all tables in schema "${schema}" to ${user}`);
  const databases = [{ ...fixture.parts, ...role, schema, table }];
  const client = await Client.of(await startOn(fixture, store, { databases }));
  const unblock: Action = { type: "unblock", on: { streams: ["mailer"] } };
  const { status, result } = await act(client, unblock);
  expect([status, result.error?.message]).toEqual([
    500,
    expect.stringMatching(/lacks a privilege: .* for actions, also UPDATE/),
  ]);
  await fixture.sql.unsafe(`grant update on "${schema}"."${table}_streams" to ${user}`);
  expect((await act(client, unblock)).result.count).toBe(1);
});

test("skip goes past the poison event, and records who did it", async () => {
  const { client, store, poison } = await opened();
  const events = [{ stream: "mailer", event: poison }];
  const { result } = await act(client, { type: "skip", events, reason: "the mailbox is gone" });
  expect(result).toMatchObject({ count: 1, refused: [] });
  expect(await rowOf(store, "mailer")).toMatchObject({
    ...{ blocked: false, at: poison },
    skipped: [expect.objectContaining({ id: poison, by: "tester", reason: "the mailbox is gone" })],
  });
  const { skipped, reaction } = await client.get("/api/reaction", { stream: "mailer" });
  expect(skipped.map(({ by, event }) => [by, event.id])).toEqual([["tester", poison]]);
  expect(reaction.skipped).toBe(1);
});

test("skip of an event that a subscription does not stand at changes nothing, and has no confirmation", async () => {
  const { client, store, poison } = await opened();
  const events = [
    { stream: "mailer", event: poison + 1 },
    { stream: "report", event: 1 },
  ];
  const { body } = await client.post("/api/actions/preview", {
    action: { type: "skip", events, reason: "none" },
  });
  expect(body).toMatchObject({ count: { count: 0, exact: true }, sample: [] });
  expect(body.confirmation).toBeUndefined();
  expect(await rowOf(store, "mailer")).toMatchObject({ blocked: true });
});

test("skip of one that has moved since it was looked at is refused, and says why", async () => {
  const { client, store, poison, running } = await opened();
  const action: Action = { type: "skip", events: [{ stream: "mailer", event: poison }], reason: "gone" };
  const { body } = await client.post("/api/actions/preview", { action });
  await store.unblock(["mailer"]);
  const done = await client.post("/api/actions/run", { confirmation: body.confirmation });
  expect(done.body).toMatchObject({
    count: 0,
    description: "Nothing was changed.",
    refused: [{ stream: "mailer", message: expect.stringMatching(/is not blocked/) }],
    entry: { outcome: "refused" },
  });
  expect(running.told.join("\n")).toMatch(/ refused by tester on .*skip of event/);
});

test("reset goes back to the beginning", async () => {
  const { client, store } = await opened();
  const { preview, result } = await act(client, {
    type: "reset",
    on: { filter: { stream: "^(audit|mailer)$" } },
  });
  expect(preview.warnings.join(" ")).toMatch(/do so again/);
  expect(result.count).toBe(2);
  expect(await rowOf(store, "audit")).toMatchObject({ at: -1 });
  expect(await rowOf(store, "mailer")).toMatchObject({ at: -1, blocked: false });
});

test("defer keeps a lane back until a time, and a time in the past lets it go", async () => {
  const { client, store } = await opened();
  const until = new Date(Date.now() + 60_000).toISOString();
  const on = { filter: { lane: "slow" } };
  expect((await act(client, { type: "defer", on, until })).result.count).toBe(1);
  expect((await rowOf(store, "report")).deferred_at?.toISOString()).toBe(until);
  const past = await act(client, {
    type: "defer",
    on: { streams: ["invoices"] },
    until: "2020-01-01T00:00:00Z",
  });
  expect(past.preview.description).toMatch(/is handled at once/);
  expect((await rowOf(store, "invoices")).deferred_at?.getTime()).toBeLessThan(Date.now());
});

test("prioritize sets the priority of one or of many", async () => {
  const { client, store } = await opened();
  await act(client, { type: "prioritize", on: { streams: ["audit", "report"] }, priority: 7 });
  expect([(await rowOf(store, "audit")).priority, (await rowOf(store, "report")).priority]).toEqual([7, 7]);
  const { result } = await act(client, {
    type: "prioritize",
    on: { filter: { source: "^order-", sourceExact: true } },
    priority: -3,
  });
  expect(result.count).toBe(2);
  expect([(await rowOf(store, "mailer")).priority, (await rowOf(store, "audit")).priority]).toEqual([-3, 7]);
});

test("release ends the lease of the worker that was seen, and of no other", async () => {
  const { client, store } = await opened();
  const wrong = await client.post("/api/actions/preview", {
    action: { type: "release", stream: "report", holder: "worker-3" },
  });
  expect(wrong.body.confirmation).toBeUndefined();
  const { result } = await act(client, { type: "release", stream: "report", holder: "worker-2" });
  expect(result.count).toBe(1);
  expect(await rowOf(store, "report")).toMatchObject({ leased_by: null });
});

test("without --write a preview can be looked at, and nothing can be done", async () => {
  const { client, store } = await opened({ write: false });
  const action: Action = { type: "unblock", on: { streams: ["mailer"] } };
  const { status, body } = await client.post("/api/actions/preview", { action });
  expect([status, body.count.count, body.confirmation]).toEqual([200, 1, undefined]);
  const done = await client.post("/api/actions/run", { confirmation: "anything" });
  expect([done.status, done.body.error?.code]).toEqual([403, "read-only"]);
  expect(await rowOf(store, "mailer")).toMatchObject({ blocked: true });
  expect((await client.get("/api/session")).write).toBe(false);
});

test("a confirmation is good once, for what was shown", async () => {
  const { client, store } = await opened();
  const action: Action = { type: "prioritize", on: { streams: ["audit"] }, priority: 1 };
  const { body } = await client.post("/api/actions/preview", { action });
  const { confirmation } = body;
  expect((await client.post("/api/actions/run", { confirmation })).status).toBe(200);
  await store.prioritize({ stream: "audit", stream_exact: true }, 0);
  const again = await client.post("/api/actions/run", { confirmation });
  expect([again.status, again.body.error?.code]).toEqual([409, "confirmation"]);
  const made = await client.post("/api/actions/run", { confirmation: "made-up" });
  expect([made.status, made.body.error?.code]).toEqual([409, "confirmation"]);
  expect((await rowOf(store, "audit")).priority).toBe(0);
});

test("of two runs of one confirmation at the same time one acts", async () => {
  const { client } = await opened();
  const { body } = await client.post("/api/actions/preview", {
    action: { type: "prioritize", on: { streams: ["audit"] }, priority: 1 },
  });
  const run = () => client.post("/api/actions/run", { confirmation: body.confirmation });
  const statuses = (await Promise.all([run(), run()])).map(({ status }) => status);
  expect(statuses.toSorted()).toEqual([200, 409]);
});

test("a filter that selects more than was shown changes nothing", async () => {
  const { client, store, last } = await opened();
  const { body } = await client.post("/api/actions/preview", {
    action: { type: "reset", on: { filter: { lane: "audit" } } },
  });
  await store.subscribe([{ stream: "audit-2", lane: "audit", correlated_at: last }]);
  const done = await client.post("/api/actions/run", { confirmation: body.confirmation });
  expect([done.status, done.body.error?.code]).toEqual([409, "changed"]);
  expect((await rowOf(store, "audit")).at).toBe(last);
});

test("each action and each look at personal data is recorded: who, what, when, and no data", async () => {
  const { client, running } = await opened({ user: "ada" });
  await act(client, { type: "prioritize", on: { streams: ["audit"] }, priority: 1 });
  const revealed = await client.post("/api/reveal", { id: 1 });
  expect(revealed.body).toMatchObject({ pii: { email: "customer1@example.com" }, dates: [["born"]] });
  const { entries } = await client.get("/api/audit");
  expect(entries.map(({ who, type, what, outcome }) => [who, type, what, outcome])).toEqual([
    ["ada", "reveal", "personal data of event 1 revealed", "done"],
    ["ada", "prioritize", "prioritize to 1 of audit: 1 subscription", "done"],
  ]);
  expect(Date.now() - Date.parse(entries[0]?.at ?? "")).toBeLessThan(60_000);
  expect(running.told).toHaveLength(2);
  expect(running.told.join("\n")).not.toMatch(/customer1|example\.com/);
});

test("with --no-pii personal data is not revealed", async () => {
  const { client } = await opened({ pii: false });
  const { status, body } = await client.post("/api/reveal", { id: 1 });
  expect([status, body.error?.code, body.pii]).toEqual([403, "read-only", undefined]);
});

test("an action that the role may not do fails, is recorded, and the console goes on", async () => {
  const broken = await brokenStore(fixture);
  const role = await fixture.role();
  if (!role) return;
  const { schema, table } = broken.store.config;
  for (const name of [table, `${table}_streams`, `${table}_correlated`])
    await fixture.sql.unsafe(`grant select on "${schema}"."${name}" to ${role.user}`);
  const running = await startOn(fixture, broken.store, {
    databases: [{ ...fixture.parts, ...role, schema, table }],
  });
  const client = await Client.of(running);
  const { status, result } = await act(client, { type: "unblock", on: { streams: ["mailer"] } });
  expect([status, result.error?.code]).toEqual([500, "failed"]);
  expect((await client.get("/api/audit")).entries.map(({ outcome }) => outcome)).toEqual(["failed"]);
  expect(await rowOf(broken.store, "mailer")).toMatchObject({ blocked: true });
});

test.for([
  {
    action: {
      type: "skip",
      reason: "a test",
      events: ["mailer", "mailer-2"].map((stream) => ({ stream, event: 0 })),
    },
    what: (poison: number) =>
      `skip of event ${poison} in mailer, event ${poison} in mailer-2: 1 subscription`,
  },
  {
    action: { type: "prioritize", on: { streams: ["mailer", "mailer-2"] }, priority: 3 },
    what: () => "prioritize to 3 of mailer, mailer-2: 1 subscription",
  },
] satisfies { action: Action; what: (poison: number) => string }[])(
  "$action.type: a failure halfway is recorded with what was changed before it",
  async ({ action, what }) => {
    const { client, store, poison } = await opened();
    const { schema, table } = store.config;
    const streams = `"${schema}"."${table}_streams"`;
    await fixture.sql.unsafe(`insert into ${streams} (stream, source, at, correlated_at, blocked, retry, lane)
      select 'mailer-2', source, at, correlated_at, true, retry, lane from ${streams} where stream = 'mailer'`);
    await fixture.sql.unsafe(`create function "${schema}".fail() returns trigger language plpgsql as $$
      begin raise 'no'; end $$;
      create trigger fail before update on ${streams} for each row when (old.stream = 'mailer-2')
        execute function "${schema}".fail()`);
    onTestFinished(async () => {
      await fixture.sql.unsafe(`drop function "${schema}".fail() cascade`);
    });
    const { status } = await act(
      client,
      action.type === "skip"
        ? { ...action, events: action.events.map((one) => ({ ...one, event: poison })) }
        : action,
    );
    expect(status).toBe(500);
    const { entries } = await client.get("/api/audit");
    expect(entries.map((entry) => [entry.outcome, entry.count, entry.what])).toEqual([
      ["failed", 1, what(poison)],
    ]);
  },
);

test("workers that listen are told of an action, and do not wait for their next look", async () => {
  const { client, store } = await opened();
  const { config } = store;
  const notified = Promise.withResolvers<string>();
  const { unlisten } = await fixture.sql.listen(
    `act_commit_${config.schema}_${config.table}`,
    notified.resolve,
  );
  await act(client, { type: "unblock", on: { streams: ["mailer"] } });
  expect(JSON.parse(await notified.promise)).toMatchObject({ claimable: true });
  await unlisten();
});
