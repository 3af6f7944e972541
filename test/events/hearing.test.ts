/** What two stores tell one another through the database: shortened notifications, and what an absence hid. */
import type { StoreNotification } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { eventually } from "../conformance/kit/eventually.ts";
import { append, notified, restorable, restore } from "../conformance/kit/scenario.ts";
import { useScene } from "../postgres/fixture.ts";

const scene = useScene();

/** `before`: what is in the log when the listening begins. */
async function pair(name: string, before: readonly string[] = []) {
  const application_name = scene.application(name);
  const ear = await scene.seeded({ notify: true, application_name });
  const mouth = scene.store({ notify: true, table: ear.config.table });
  for (const stream of before) await append(mouth, stream, "Before");
  const heard: StoreNotification[] = [];
  await notified(ear, (notification) => void heard.push(notification));
  const ids = () => heard.map(({ stream, events }) => [stream, ...events.map(({ id }) => id)]);
  return { ear, mouth, heard, ids, application_name };
}

test("a commit too long for a notification is told in full, and nothing of its neighbours", async () => {
  const { mouth, heard, ids } = await pair("long");
  const long = (letter: string) => letter.repeat(3_000);
  await append(mouth, "s", "A");
  await append(mouth, "s", long("b"), long("c"), long("d"));
  await append(mouth, "s", "E");
  await append(mouth, "t", "F");
  await eventually(() => heard.some(({ stream }) => stream === "t") && heard.length === 4);
  expect(ids().sort()).toEqual([
    ["s", 1],
    ["s", 2, 3, 4],
    ["s", 5],
    ["t", 6],
  ]);
  const whole = heard.find(({ events }) => events.length === 3);
  expect(whole?.events.map(({ name }) => name)).toEqual([long("b"), long("c"), long("d")]);
});

async function cut(application_name: string) {
  const lost = await scene.sql`
    select pg_terminate_backend(pid) as ended from pg_stat_activity
    where application_name = ${application_name} and query like 'listen%'`;
  expect(lost.length).toBe(1);
}

test("what was there before is not told after an absence, though nothing was heard until then", async () => {
  const { mouth, heard, ids, application_name } = await pair("quiet", ["a", "b"]);
  await cut(application_name);
  await append(mouth, "c", "C");
  await eventually(() => heard.length > 0);
  expect(ids()).toEqual([["c", 3]]);
});

test("an absence that hid nothing tells nothing, not even what was there before", async () => {
  const { mouth, ids, application_name } = await pair("nothing", ["a", "b"]);
  await cut(application_name);
  // It is back, and has looked for what it missed.
  const looked = () => scene.sql`select from pg_stat_activity where application_name = ${application_name}
    and query like 'select id, name, stream from%' and state = 'idle'`;
  await eventually(async () => (await looked()).length === 1);
  await append(mouth, "c", "C");
  await eventually(() => ids().length > 0);
  expect(ids()).toEqual([["c", 3]]);
});

test("what an absence hid is told after a restore too, which has numbered the log anew", async () => {
  const { mouth, heard, ids, application_name } = await pair("renumbered", ["a", "b", "c", "d"]);
  await restore(mouth, [restorable("z", 0)]);
  await cut(application_name);
  await append(mouth, "a", "A");
  await eventually(() => heard.some(({ stream }) => stream === "a"));
  expect(ids()).toContainEqual(["a", 2]);
  // From here on it goes on as before.
  await cut(application_name);
  await append(mouth, "a", "B");
  await eventually(() => ids().some(([, id]) => id === 3));
  expect(ids().filter(([, id]) => id === 2)).toHaveLength(1);
});

test.each(["1e300", "4503599627370496", "3", "-1", "1.5"])(
  "a forged payload with the id %s ends no catch-up",
  async (id) => {
    const { ear, mouth, heard, application_name } = await pair(`forged${id.replace(/\W/g, "_")}`, ["a"]);
    const forge = (payload: string) =>
      scene.sql`select pg_notify(${`act_commit_${ear.config.schema}_${ear.config.table}`}, ${payload})`;
    await forge(`{"stream":"forged","by":"x","events":[{"id":${id},"name":"A"}]}`);
    await forge(`{"stream":"forged","by":"x","events":[],"from":${id},"to":${id}}`);
    await append(mouth, "last", "A");
    await eventually(() => heard.some(({ stream }) => stream === "last"));
    await cut(application_name);
    for (const stream of ["b", "c"]) await append(mouth, stream, "A");
    await eventually(() => heard.some(({ stream }) => stream === "c"));
    expect(heard).toContainEqual({ stream: "b", events: [{ id: 3, name: "A" }] });
    // From here on it goes on as before.
    await cut(application_name);
    await append(mouth, "d", "A");
    await eventually(() => heard.some(({ stream }) => stream === "d"));
    expect(heard.filter(({ stream }) => stream === "c")).toHaveLength(1);
  },
);

test("what an absence hid is told in order, from behind what was heard last", async () => {
  const { mouth, heard, ids, application_name } = await pair("absent");
  await append(mouth, "a", "A");
  await eventually(() => heard.length === 1);
  await cut(application_name);
  // The ear comes back after 250 ms at the earliest.
  await append(mouth, "a", "B", "C");
  await append(mouth, "b", "D");
  await eventually(() => heard.length === 3);
  expect(ids()).toEqual([
    ["a", 1],
    ["a", 2, 3],
    ["b", 4],
  ]);
});
