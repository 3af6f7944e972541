import { eq } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Tenant, Tenants } from "../../examples/tenants/tenants.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { Program } from "./program.ts";

let database: TestDatabase;
let tenants: Tenants;
beforeAll(async () => {
  database = await createDatabase();
  tenants = new Tenants(database.url);
});
afterAll(async () => {
  await tenants?.close();
  await database?.drop();
});

const target = (stream: string) => ({ stream, actor: { id: "test", name: "Test" } });

async function balanceOf({ tables }: Tenant, account: string): Promise<number | undefined> {
  const { balances } = tables;
  const [row] = await tenants.db.select().from(balances).where(eq(balances.account, account));
  return row?.balance;
}

describe("tenants in one process", { timeout: 60_000 }, () => {
  it("have logs, read models and reactions of their own, for streams of the same name", async () => {
    const open = await Promise.all(
      ["a", "b", "c"].map((name, i) => tenants.get(name, { welcome: 100 * (i + 1) })),
    );
    await Promise.all(open.map(({ app }, i) => app.do("open", target("main"), { owner: `owner ${i}` })));
    await Promise.all(open.map(({ app }, i) => app.do("deposit", target("main"), { amount: i + 1 })));
    for (const [i, tenant] of open.entries()) {
      await expect.poll(() => balanceOf(tenant, "main"), { timeout: 20_000 }).toBe(101 * (i + 1));
      const names = await tenant.app.query_array({ stream: "main", stream_exact: true });
      expect(names.map(({ name }) => name).sort()).toEqual(["Deposited", "Opened", "Welcomed"]);
      expect(names[0]?.data).toEqual({ owner: `owner ${i}` });
    }
  });

  it("are opened once, however many ask", async () => {
    const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => tenants.get("d")));
    for (const other of others) expect(other).toBe(first);
  });

  it("are removed without the others noticing", async () => {
    await tenants.remove("b");
    const sql = connect(database.url);
    const schemas =
      await sql`select nspname from pg_namespace where starts_with(nspname, 'tenant_') order by 1`;
    expect(schemas.map(({ nspname }) => nspname)).toEqual(["tenant_a", "tenant_c", "tenant_d"]);
    await sql.end();
    const { app } = await tenants.get("a");
    await app.do("deposit", target("main"), { amount: 1 });
    const again = await tenants.get("b");
    expect(await again.app.query_array({})).toEqual([]);
  });

  it.each(["", "A", "a-b", "a; drop schema public", "pg_catalog.x", "x".repeat(40)])(
    "are not named %j",
    async (name) => {
      await expect(tenants.get(name)).rejects.toThrow("Not the name of a tenant");
    },
  );
});

describe("two processes", { timeout: 60_000 }, () => {
  it("may open the same tenant at once, and go on with what the other wrote", async () => {
    const [one, two] = [new Tenants(database.url), new Tenants(database.url)];
    const [left, right] = await Promise.all([one.get("shared"), two.get("shared")]);
    await left.app.do("open", target("main"), { owner: "left" });
    await right.app.do("deposit", target("main"), { amount: 5 });
    // What one of them holds at that moment the other does not get, and nobody looks again before the next commit.
    await right.app.do("open", target("other"), { owner: "right" });
    await expect
      .poll(
        async () => {
          await right.app.do("deposit", target("other"), { amount: 1 });
          return balanceOf(right, "main");
        },
        { timeout: 20_000, interval: 200 },
      )
      .toBe(15);
    await Promise.all([one.close(), two.close()]);
  });
});

it("runs by one command", { timeout: 60_000 }, async () => {
  const program = new Program("examples/tenants/main.ts", [], { DATABASE_URL: database.url });
  expect(await program.ended()).toBe(0);
  expect(program.output).toMatch(
    /^acme {6}70 {6}10 {8}1050\nglobex {4}70 {6}10 {8}2050\ninitech {3}70 {6}10 {8}3050\n/m,
  );
  expect(program.output).toContain("acme's account-0 has 80\n");
});
