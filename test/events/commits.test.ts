/** commit(): which heads it takes, and what its answer holds. */
import type { Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("what no head can be is met by none, and the real head is told", async () => {
  const store = await fixture.seeded();
  await store.commit<Schemas>("s", [event(), event(), event()], meta);
  for (const expectedVersion of [-2, 1.5, 2.5, 2 ** 31, Number.NEGATIVE_INFINITY])
    await expect(store.commit<Schemas>("s", [event()], meta, expectedVersion)).rejects.toMatchObject({
      name: "ERR_CONCURRENCY",
      lastVersion: 2,
      expectedVersion,
    });
  expect(await fixture.rows(store)).toHaveLength(3);
});

test("under row-level security commits fail, and loads do not come back empty", async (context) => {
  const owner = await fixture.seeded();
  const { config } = owner;
  await owner.commit("s", [event()], meta);
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  const events = `"${config.schema}"."${config.table}"`;
  await fixture.sql.unsafe(`grant usage on schema "${config.schema}" to ${role.user};
    grant select, insert on ${events} to ${role.user};
    grant usage on sequence "${config.schema}"."${config.table}_id_seq" to ${role.user};
    alter table ${events} enable row level security`);
  const store = fixture.store({ ...role, table: config.table });
  const refused = { cause: { code: "42501", message: expect.stringContaining("BYPASSRLS") } };
  await expect(store.commit("s", [event()], meta)).rejects.toMatchObject(refused);
  await expect(store.query(() => {}, { stream: "s", stream_exact: true })).rejects.toMatchObject(refused);
  // The tables' owner is not concerned.
  expect(await owner.query(() => {})).toBe(1);
});

test("the answer has pii where it was given, and nowhere else so much as the key", async () => {
  const store = await fixture.seeded();
  const messages = [{ a: 1 }, undefined, null].map((pii) => ({ ...event(), pii }));
  const committed = await store.commit<Schemas>("s", [...messages, event()] as never, meta);
  expect(committed.map((one) => ("pii" in one ? one.pii : "none"))).toEqual([
    { a: 1 },
    ...["none", "none", "none"],
  ]);
});
