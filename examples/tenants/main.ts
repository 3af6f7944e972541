/**
 * Three tenants in one process, the same commands in each, no event in common, on the database at DATABASE_URL. In this
 * repository: `npm run example:tenants`.
 */
import { ConsoleLogger, log } from "@rotorsoft/act";
import { count, eq, sum } from "drizzle-orm";
import { type Tenant, Tenants } from "./tenants.ts";

const NAMES = ["acme", "globex", "initech"] as const;
const ACCOUNTS = 10;
const DEPOSITS = 5;
const actor = { id: "1", name: "User" };

log(new ConsoleLogger({ level: "error" }));
const url = process.env.DATABASE_URL ?? "postgres://postgres:postgres@localhost:5432/postgres";
const tenants = new Tenants(url);
try {
  for (const name of NAMES) await tenants.remove(name);

  // All at once: each is created, and gets the same commands for streams of the same names.
  const welcomes = new Map(NAMES.map((name, i) => [name, 100 * (i + 1)]));
  await Promise.all(
    NAMES.map(async (name) =>
      work(await tenants.get(name, { welcome: welcomes.get(name) ?? 0 }), `${name}'s`),
    ),
  );
  const rows = await Promise.all(NAMES.map(report));
  console.log("tenant    events  accounts  balance");
  for (const { name, events, accounts, balance } of rows)
    console.log(`${name.padEnd(8)}  ${events}`.padEnd(18) + `${accounts}`.padEnd(10) + balance);

  await tenants.remove("globex");
  console.log("\nglobex is gone, with its schema; the others go on:");
  const { app, tables } = await tenants.get("acme");
  await app.do("withdraw", { stream: "account-0", actor }, { amount: 25 });
  await settled(app);
  const { account } = tables.balances;
  const [row] = await tenants.db.select().from(tables.balances).where(eq(account, "account-0"));
  console.log(`${row?.owner} account-0 has ${row?.balance}`);
} finally {
  await tenants.close();
}

async function work({ app }: Tenant, owner: string): Promise<void> {
  const use = async (stream: string) => {
    await app.do("open", { stream, actor }, { owner });
    for (let i = 0; i < DEPOSITS; i++) await app.do("deposit", { stream, actor }, { amount: 1 });
  };
  await Promise.all(Array.from({ length: ACCOUNTS }, (_, i) => use(`account-${i}`)));
}

/** From the tenant's log and from its read model. */
async function report(name: string) {
  const { app, tables } = await tenants.get(name);
  await settled(app);
  const [log] = await tenants.db.select({ events: count() }).from(tables.events);
  const { account, balance } = tables.balances;
  const totals = { accounts: count(account), balance: sum(balance) };
  const [model] = await tenants.db.select(totals).from(tables.balances);
  return { name, events: log?.events, accounts: model?.accounts, balance: model?.balance };
}

/** Resolves when everything that has been committed has been reacted to. */
async function settled(app: Tenant["app"]): Promise<void> {
  // The first may end a run that began before the last commit; the second begins after it.
  for (let runs = 0; runs < 2; runs++) {
    await new Promise<void>((resolve) => {
      const done = () => {
        app.off("settled", done);
        resolve();
      };
      app.on("settled", done);
      app.settle();
    });
  }
}
