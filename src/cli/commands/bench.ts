/** `act-drizzle bench`: how fast the user's own server is, in a schema that is dropped afterwards. */
import { randomBytes } from "node:crypto";
import { type Command, Option } from "commander";
import { contextOf } from "../../context.ts";
import { PostgresStore } from "../../index.ts";
import { BENCH_SCHEMA } from "../../schema/bench-schema.ts";
import { confirm } from "../confirm.ts";
import { integer } from "../format.ts";
import { silently } from "../logger.ts";
import { type Measured, measure } from "../measure.ts";
import type { Output } from "../output.ts";
import { ExitCode, INTERRUPTED, storeOptions, toCount, withStore } from "../session.ts";

/** Tables of the database that are not the server's own. */
const TABLES = `select count(*)::int as tables from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'`;

const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;

function print(output: Output, { commits, claimAck, notify }: Measured): void {
  output.table(
    [
      { title: "MEASURED", value: ([name]) => name },
      { title: "PER SECOND", value: ([, rate]) => rate, right: true },
      { title: "P50", value: ([, , p50]) => p50, right: true },
      { title: "P99", value: ([, , , p99]) => p99, right: true },
    ],
    [
      ...commits.map(
        ({ inFlight, perSecond, p50Ms, p99Ms }) =>
          [`commit, ${inFlight} in flight`, integer(perSecond), ms(p50Ms), ms(p99Ms)] as const,
      ),
      ["claim and ack of 10", integer(claimAck.perSecond), ms(claimAck.p50Ms), ms(claimAck.p99Ms)] as const,
      ["commit to notification", "", ms(notify.p50Ms), ms(notify.p99Ms)] as const,
    ],
  );
}

export function bench(program: Command): void {
  program
    .command("bench")
    .summary("measures the server, in a schema that is dropped afterwards")
    .description(
      "Measures commits (1, 8 and 32 in flight), claim and ack, and notifications on the server, in a schema of its own that is dropped afterwards. It takes five times --seconds, and keeps the server busy for that time.",
    )
    .addOption(new Option("--seconds <n>", "duration of each measurement").argParser(toCount).default(2))
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      "\nExamples:\n  $ act-drizzle bench\n  $ act-drizzle bench --seconds 10 --yes --json",
    )
    .action((options: { seconds: number; yes?: boolean }, command: Command) =>
      withStore(command, async ({ store, output }) => {
        const { connections } = contextOf(store);
        const [row] = await connections.read("bench", { text: TABLES });
        const tables = Number(row?.tables);
        if (tables > 0)
          await confirm(
            `The database has ${integer(tables)} tables. The benchmark leaves them alone, and keeps the server busy for about ${options.seconds * 5} s. Go on?`,
            options,
          );
        const schema = `${BENCH_SCHEMA}${randomBytes(6).toString("hex")}`;
        const own = { ...storeOptions(command), schema, table: "events", max: 10 };
        const measured = new PostgresStore({ ...own, notify: true });
        const stop = new AbortController();
        const interrupt = () => stop.abort();
        process.once("SIGINT", interrupt);
        try {
          await silently(() => measured.seed());
          const onStep = (name: string) => {
            if (process.stderr.isTTY) process.stderr.write(`${name} …\n`);
          };
          const { seconds } = options;
          const found = await measure(measured, { store: own, seconds, signal: stop.signal, onStep });
          if (stop.signal.aborted) {
            process.stderr.write("act-drizzle: interrupted: no result\n");
            throw new ExitCode(INTERRUPTED);
          }
          if (output.json) output.document(found);
          else print(output, found);
        } finally {
          process.off("SIGINT", interrupt);
          await measured.dispose();
          await connections.write("bench", { text: `drop schema if exists "${schema}" cascade` });
        }
      }),
    );
}
