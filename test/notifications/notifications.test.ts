/** Notifications from one store to another, through the database: shortened ones, and catch-up after a reconnect. */
import type { StoreNotification } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { append, notified, restorable, restore } from "../conformance/kit/scenario.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

/** A store that listens and one that commits. `before`: streams that are in the log when listening begins. */
async function pair(name: string, before: readonly string[] = []) {
  const application_name = fixture.application(name);
  const listener = await fixture.seeded({ notify: true, application_name });
  const committer = fixture.store({ notify: true, table: listener.config.table });
  for (const stream of before) await append(committer, stream, "Before");
  const received: StoreNotification[] = [];
  await notified(listener, (notification) => void received.push(notification));
  const ids = () => received.map(({ stream, events }) => [stream, ...events.map(({ id }) => id)]);
  return { listener, committer, received, ids, application_name };
}

test("a commit that is too long for a notification is reported in full, without events of other commits", async () => {
  const { committer, received, ids } = await pair("long");
  const long = (letter: string) => letter.repeat(3_000);
  await append(committer, "s", "A");
  await append(committer, "s", long("b"), long("c"), long("d"));
  await append(committer, "s", "E");
  await append(committer, "t", "F");
  await eventually(() => received.some(({ stream }) => stream === "t") && received.length === 4);
  expect(ids().sort()).toEqual([
    ["s", 1],
    ["s", 2, 3, 4],
    ["s", 5],
    ["t", 6],
  ]);
  const whole = received.find(({ events }) => events.length === 3);
  expect(whole?.events.map(({ name }) => name)).toEqual([long("b"), long("c"), long("d")]);
});

async function disconnect(application_name: string) {
  const lost = await fixture.sql`
    select pg_terminate_backend(pid) as ended from pg_stat_activity
    where application_name = ${application_name} and query like 'listen%'`;
  expect(lost.length).toBe(1);
}

test("events from before the subscription are not reported after a reconnect", async () => {
  const { committer, received, ids, application_name } = await pair("quiet", ["a", "b"]);
  await disconnect(application_name);
  await append(committer, "c", "C");
  await eventually(() => received.length > 0);
  expect(ids()).toEqual([["c", 3]]);
});

test("a reconnect without new events reports nothing", async () => {
  const { committer, ids, application_name } = await pair("nothing", ["a", "b"]);
  await disconnect(application_name);
  // It has reconnected, and read the log.
  const caughtUp = () => fixture.sql`select from pg_stat_activity where application_name = ${application_name}
    and query like 'select id, name, stream from%' and state = 'idle'`;
  await eventually(async () => (await caughtUp()).length === 1);
  await append(committer, "c", "C");
  await eventually(() => ids().length > 0);
  expect(ids()).toEqual([["c", 3]]);
});

test("events that were missed are reported after a restore too, whose ids start again at 1", async () => {
  const { committer, received, ids, application_name } = await pair("renumbered", ["a", "b", "c", "d"]);
  await restore(committer, [restorable("z", 0)]);
  await disconnect(application_name);
  await append(committer, "a", "A");
  await eventually(() => received.some(({ stream }) => stream === "a"));
  expect(ids()).toContainEqual(["a", 2]);
  // From here on it goes on as before.
  await disconnect(application_name);
  await append(committer, "a", "B");
  await eventually(() => ids().some(([, id]) => id === 3));
  expect(ids().filter(([, id]) => id === 2)).toHaveLength(1);
});

test.each(["1e300", "4503599627370496", "3", "-1", "1.5"])(
  "a forged payload with the id %s does not stop catch-up",
  async (id) => {
    const { listener, committer, received, application_name } = await pair(
      `forged${id.replace(/\W/g, "_")}`,
      ["a"],
    );
    const forge = (payload: string) =>
      fixture.sql`select pg_notify(${`act_commit_${listener.config.schema}_${listener.config.table}`}, ${payload})`;
    await forge(`{"stream":"forged","by":"x","events":[{"id":${id},"name":"A"}]}`);
    await forge(`{"stream":"forged","by":"x","events":[],"from":${id},"to":${id}}`);
    await append(committer, "last", "A");
    await eventually(() => received.some(({ stream }) => stream === "last"));
    await disconnect(application_name);
    for (const stream of ["b", "c"]) await append(committer, stream, "A");
    await eventually(() => received.some(({ stream }) => stream === "c"));
    expect(received).toContainEqual({ stream: "b", events: [{ id: 3, name: "A" }] });
    // From here on it goes on as before.
    await disconnect(application_name);
    await append(committer, "d", "A");
    await eventually(() => received.some(({ stream }) => stream === "d"));
    expect(received.filter(({ stream }) => stream === "c")).toHaveLength(1);
  },
);

test("missed events are reported in order, from the last one received on", async () => {
  const { committer, received, ids, application_name } = await pair("absent");
  await append(committer, "a", "A");
  await eventually(() => received.length === 1);
  await disconnect(application_name);
  // The listener reconnects after 250 ms at the earliest.
  await append(committer, "a", "B", "C");
  await append(committer, "b", "D");
  await eventually(() => received.length === 3);
  expect(ids()).toEqual([
    ["a", 1],
    ["a", 2, 3],
    ["b", 4],
  ]);
});
