/** The constructor: defaults, names, and what it keeps to itself. */
import { once } from "node:events";
import { createServer } from "node:net";
import { inspect } from "node:util";
import { expect, onTestFinished, vi } from "vitest";
import { eventually, within } from "./kit/eventually.ts";
import { backendsOf, tablesOf, unusedName } from "./kit/postgres.ts";
import { append, read, readAll } from "./kit/scenario.ts";
import { type RawAccess, section } from "./kit/section.ts";

const BAD_NAMES = [
  "",
  " ",
  "1a",
  "a-b",
  "a b",
  'a"b',
  "a.b",
  "a;b",
  "é",
  "a\nb",
  "a'b",
  "$a",
  "a%",
  '"a"',
  "a\u0000",
];
const GOOD_NAMES = ["a", "_", "A", "_1", "Mixed_Case_2", "select", "user", "a".repeat(20)];

/** The variables that libpq knows fill what options leave out: not in tests of the defaults. */
function withoutEnvironment(): void {
  for (const name of Object.keys(process.env)) if (name.startsWith("PG")) vi.stubEnv(name, "");
  onTestFinished(() => void vi.unstubAllEnvs());
}

/** What a constructor says against these options; undefined when it takes them. */
function refusal(raw: RawAccess, options: Record<string, unknown>): string | undefined {
  try {
    raw.construct(options);
  } catch (error) {
    return error instanceof Error ? error.message : inspect(error);
  }
}

/** The longest name that is taken for `option`, by bisection up to PostgreSQL's own limit. */
function longest(raw: RawAccess, option: "schema" | "table"): number {
  let taken = 1;
  let refused = 64;
  while (refused - taken > 1) {
    const middle = Math.floor((taken + refused) / 2);
    if (refusal(raw, { [option]: "t".repeat(middle) }) === undefined) taken = middle;
    else refused = middle;
  }
  return taken;
}

export const construction = section("construction", (line) => {
  line(
    "C1",
    "without options the store aims at a local server, public.events, without notify",
    {
      needs: ["sql"],
    },
    async ({ raw }) => {
      withoutEnvironment();
      expect(raw.construct().config).toMatchObject({
        host: "localhost",
        port: 5432,
        database: "postgres",
        user: "postgres",
        schema: "public",
        table: "events",
        notify: false,
      });
    },
  );

  line("C1", "without options the pool takes 20, with time limits", { needs: ["sql"] }, async ({ raw }) => {
    withoutEnvironment();
    expect(raw.construct({}).config).toMatchObject({
      max: 20,
      connectionTimeoutMillis: 10_000,
      idleTimeoutMillis: 30_000,
      statement_timeout: 60_000,
    });
  });

  line("C1", "the default password is postgres", { needs: ["sql"] }, async ({ raw }) => {
    withoutEnvironment();
    expect(raw.construct().config.password).toBe("postgres");
  });

  line("C1", "given options win", { needs: ["sql"] }, async ({ raw }) => {
    const options = {
      host: "db.example",
      port: 6_432,
      database: "shop",
      user: "clerk",
      schema: "sales",
      table: "log",
      notify: true,
      max: 3,
      connectionTimeoutMillis: 1_000,
      idleTimeoutMillis: 2_000,
      statement_timeout: 0,
    };
    expect(raw.construct(options).config).toMatchObject(options);
  });

  line(
    "C1",
    "a url stands for host, port, database and user",
    { needs: ["sql"] },
    async ({ store, raw, second }) => {
      await append(store, "s", "A");
      const { hostname, port, pathname, username, password } = new URL(raw.url);
      const other = await second({
        url: undefined,
        host: hostname,
        port: Number(port || 5432),
        database: pathname.slice(1),
        user: decodeURIComponent(username),
        password: decodeURIComponent(password),
      });
      expect(await readAll(other)).toHaveLength(1);
    },
  );

  line(
    "C1",
    "options of the connection reach the server",
    {
      needs: ["sql"],
      options: { application_name: "conformance_of_options" },
    },
    async ({ store, raw }) => {
      await append(store, "s", "A");
      expect((await backendsOf(raw, "conformance_of_options")).length).toBeGreaterThan(0);
    },
  );

  line(
    "C1",
    "options of the adapter do not reach the driver",
    {
      needs: ["sql"],
      options: {
        notify: true,
        dates: "revive",
        max: 4,
        statement_timeout: 5_000,
        pii_encryption: { key: new Uint8Array(32) },
      },
    },
    async ({ store }) => {
      // The server refuses a start-up parameter that it does not know.
      expect(await append(store, "s", "A")).toHaveLength(1);
    },
  );

  for (const max of [1, 2, 3]) {
    line(
      "C1",
      `a pool of ${max} opens no more connections`,
      { needs: ["sql"], options: { max } },
      async (fixture) => {
        const { store, raw } = fixture;
        await append(store, "s", "A");
        await Promise.all(
          Array.from({ length: 60 }, (_, n) => (n % 3 ? readAll(store) : append(store, `s${n}`, "A"))),
        );
        expect((await backendsOf(raw, raw.table)).length).toBeLessThanOrEqual(max);
      },
    );
  }

  line(
    "C1",
    "a statement beyond statement_timeout is ended",
    {
      needs: ["sql", "shared"],
    },
    async ({ raw, second }) => {
      // A store that did not make the tables: on Citus that may take longer.
      const store = await second({ statement_timeout: 300 });
      const holder = raw.connect();
      await holder.unsafe("begin");
      await holder`lock table ${tablesOf(raw).events} in access exclusive mode`;
      await expect(within(8_000, "the query", readAll(store))).rejects.toMatchObject({ name: "ERR_STORE" });
      await holder.unsafe("rollback");
    },
  );

  line(
    "C1",
    "a server that never answers is given up after connectionTimeoutMillis",
    {
      needs: ["sql"],
    },
    async ({ raw }) => {
      const silent = createServer(() => {}).listen(0, "127.0.0.1");
      onTestFinished(() => void silent.close());
      await once(silent, "listening");
      const address = silent.address();
      const port = typeof address === "object" && address ? address.port : 0;
      const store = raw.construct({ host: "127.0.0.1", port, connectionTimeoutMillis: 300 });
      await expect(within(5_000, "the query", readAll(store))).rejects.toMatchObject({ name: "ERR_STORE" });
      await expect(within(5_000, "the commit", append(store, "s", "A"))).rejects.toMatchObject({
        name: "ERR_STORE",
      });
      await within(5_000, "the disposal", store.dispose());
    },
  );

  line(
    "C1",
    "an idle connection is closed after idleTimeoutMillis, and opened when needed",
    {
      needs: ["sql"],
      options: { idleTimeoutMillis: 200 },
    },
    async ({ store, raw }) => {
      await append(store, "s", "A");
      await Promise.all([readAll(store), readAll(store)]);
      await eventually(async () => (await backendsOf(raw, raw.table)).length === 0);
      expect(await append(store, "s", "B")).toHaveLength(1);
      expect(await readAll(store)).toHaveLength(2);
    },
  );

  line(
    "C1",
    "the password shows in no rendering of the store or its config",
    { needs: ["sql"] },
    async ({ raw }) => {
      const stores = [
        raw.construct({ password: "hunter2" }),
        raw.construct({ url: "postgres://clerk:hunter2@db.example:6432/shop" }),
        raw.construct({ listen_url: "postgres://clerk:hunter2@db.example:6432/shop", notify: true }),
      ];
      for (const store of stores) {
        const renderings = [
          inspect(store),
          inspect(store, { depth: 10 }),
          inspect(store.config),
          inspect({ config: { ...store.config } }),
          JSON.stringify(store.config),
          JSON.stringify({ config: store.config }),
          `${JSON.stringify(Object.entries(store.config))}`,
          `${store.config}`,
        ];
        for (const rendering of renderings) expect(rendering).not.toContain("hunter2");
      }
    },
  );

  line(
    "C1",
    "a password with any character in a url is understood",
    { needs: ["sql"] },
    async ({ raw, second }) => {
      const url = new URL(raw.url);
      const role = unusedName("role");
      await raw.sql.unsafe(`create role ${role} login superuser password 'p@ss/w:rd#%?'`);
      try {
        url.username = role;
        url.password = encodeURIComponent("p@ss/w:rd#%?");
        const other = await second({ url: url.href });
        expect(await append(other, "s", "A")).toHaveLength(1);
        await other.dispose();
      } finally {
        await raw.sql.unsafe(`drop role ${role}`);
      }
    },
  );

  for (const option of ["schema", "table"] as const) {
    line(
      "C2",
      `a ${option} that is no plain identifier is refused by its name`,
      { needs: ["sql"] },
      async ({ raw }) => {
        for (const name of BAD_NAMES) {
          const said = refusal(raw, { [option]: name });
          expect(said, inspect(name)).toBeDefined();
          if (/\w/.test(name))
            expect(said, inspect(name)).toContain(JSON.stringify(name).slice(1, -1).split("\\")[0]);
          else expect(said, inspect(name)).toContain(option);
        }
      },
    );

    line("C2", `a ${option} that is a plain identifier is taken`, { needs: ["sql"] }, async ({ raw }) => {
      for (const name of GOOD_NAMES) expect(refusal(raw, { [option]: name }), name).toBeUndefined();
    });

    line(
      "C2",
      `a ${option} too long for a derived name is refused by its name`,
      { needs: ["sql"] },
      async ({ raw }) => {
        for (const length of [60, 63, 64, 200]) {
          const name = "t".repeat(length);
          expect(refusal(raw, { [option]: name })).toContain(name);
        }
      },
    );
  }

  line(
    "C2",
    "schema and table that are too long together are refused",
    { needs: ["sql"] },
    async ({ raw }) => {
      const schema = "s".repeat(27);
      const table = "t".repeat(27);
      expect(refusal(raw, { schema })).toBeUndefined();
      expect(refusal(raw, { table })).toBeUndefined();
      expect(refusal(raw, { schema, table })).toMatch(new RegExp(`${schema}|${table}`));
    },
  );

  line(
    "C2",
    "two tables with the longest names work side by side, no name cut short",
    {
      needs: ["sql"],
    },
    async ({ raw, second }) => {
      const length = longest(raw, "table");
      expect(length).toBeGreaterThan(20);
      const suffixes = async (table: string) => {
        const rows = await raw.sql<Array<{ name: string }>>`select indexname as name from pg_indexes
        where schemaname = ${raw.schema} and starts_with(tablename, ${table}) order by 1`;
        return rows.map(({ name }) => name.replace(table, "…"));
      };
      for (const end of ["a", "b"]) {
        const table = `${"t".repeat(length - 1)}${end}`;
        const store = await second({ table });
        await store.seed();
        await store.seed();
        await append(store, "s", table);
        expect(await readAll(store)).toMatchObject([{ name: table }]);
        expect(await suffixes(table)).toEqual(await suffixes(raw.table));
        if (end === "b") await store.drop();
      }
    },
  );

  line(
    "C3",
    "a store without options answers or says why it can't",
    {
      needs: ["sql"],
      timeout: 20_000,
    },
    async ({ raw }) => {
      // Reads only: there may well be a server on this machine, with a log that is not ours.
      const outcome = await within(
        15_000,
        "the store without options",
        read(raw.construct(), { limit: 1 }).then(
          (events) => events.length,
          (error: unknown) => error,
        ),
      );
      if (outcome instanceof Error) expect(outcome.message).not.toBe("");
      else expect([0, 1]).toContain(outcome);
    },
  );

  line("C3", "an unreachable server is an Error with a message", { needs: ["sql"] }, async ({ raw }) => {
    const store = raw.construct({ host: "127.0.0.1", port: 1 });
    for (const call of [() => store.seed(), () => append(store, "s", "A"), () => readAll(store)]) {
      const outcome = await within(
        12_000,
        "the refusal",
        call().catch((error: unknown) => error),
      );
      expect(outcome).toBeInstanceOf(Error);
      expect(outcome instanceof Error ? outcome.message : "").not.toBe("");
    }
  });

  line(
    "C2",
    "schema and table are refused at the first byte too many for the channel",
    { needs: ["sql"] },
    async ({ raw }) => {
      const [schema, table] = ["s".repeat(26), "t".repeat(25)];
      expect(refusal(raw, { schema, table })).toBeUndefined();
      expect(refusal(raw, { schema: `${schema}s`, table })).toContain(schema);
    },
  );
});
