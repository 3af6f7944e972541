/** A move of a log that Citus distributes. A catalog of ours stands for that of Citus; test/citus has a real one. */
import { expect, test } from "vitest";
import { Admin, MoveError } from "../../src/admin/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("a move of a schema that Citus distributes is refused before anything is done, and says what to do", async ({
  skip,
}) => {
  const store = await fixture.seeded({ schema: "tenant" });
  const target = await fixture.seeded({ schema: "elsewhere" });
  await store.commit("s", [event()], meta);
  const admin = new Admin(store);
  const [role] = await fixture.sql`select rolsuper as may from pg_roles where rolname = current_user`;
  if (role?.may !== true) skip("only a superuser may add to the catalog");
  await fixture.sql.unsafe(`set allow_system_table_mods = on;
    create table pg_catalog.pg_dist_partition as select 'tenant.${store.config.table}'::regclass as logicalrelid`);
  const refused = (which: string, schema: string) =>
    new RegExp(
      `^nothing was moved: Citus distributes the schema "${schema}" of the ${which}, .* citus_schema_undistribute\\('${schema}'\\)`,
    );
  const moved = admin.move(target);
  await expect(moved).rejects.toThrow(MoveError);
  await expect(moved).rejects.toThrow(refused("source", "tenant"));
  await fixture.sql.unsafe(
    `update pg_catalog.pg_dist_partition set logicalrelid = 'elsewhere.${target.config.table}'::regclass`,
  );
  await expect(admin.move(target)).rejects.toThrow(refused("target", "elsewhere"));
  expect(await store.query(() => {})).toBe(1);
  await fixture.sql.unsafe("delete from pg_catalog.pg_dist_partition");
  expect((await admin.move(target)).events).toBe(1);
});
