/** `act-drizzle status`: the state of a store at a glance. */
import type { Command } from "commander";
import type { AppendLock, Growth, Overview } from "../../admin/index.ts";
import { bytes, counted, duration, instant, integer } from "../format.ts";
import { withStore } from "../session.ts";

const lockText = ({ holder, waiting }: AppendLock): string =>
  holder === undefined
    ? "free"
    : `held by ${holder.application ?? `process ${holder.pid}`}, in a transaction of ${duration(holder.transactionMs)}; ${waiting.length} waiting`;

function logText({ events, server }: Overview, growth: Growth): string {
  if (events.lastId === undefined) return "empty";
  const age = events.lastCreated && duration(server.now.getTime() - events.lastCreated.getTime());
  const size = events.estimate === undefined ? "" : `about ${integer(events.estimate)} events, `;
  return `${size}last id ${events.lastId} (${age} ago), ${growth.perSecond.toFixed(1)}/s in the last minute`;
}

export function status(program: Command): void {
  program
    .command("status")
    .summary("the state of the store at a glance")
    .description("Shows the server, the log, subscriptions, the append lock, connections and sizes.")
    .addHelpText("after", "\nExample:\n  $ act-drizzle status --url postgres://localhost/shop")
    .action((_options, command: Command) =>
      withStore(command, async ({ admin, store, output }) => {
        const [overview, growth, appendLock, connections, storage] = [
          await admin.overview(),
          await admin.growth(),
          await admin.appendLock(),
          await admin.connections(),
          await admin.storage(),
        ];
        if (output.json) return output.document({ overview, growth, appendLock, connections, storage });
        const { server, subscriptions, correlators } = overview;
        const { schema, table, host, port } = store.config;
        const size = storage.tables.reduce((sum, t) => sum + t.tableBytes, 0);
        const indexes = storage.tables.reduce((sum, t) => sum + t.indexBytes, 0);
        output.facts([
          ["Store", `${schema}.${table} on ${server.user}@${host}:${port}/${server.database}`],
          [
            "Server",
            `PostgreSQL ${server.version}, up since ${instant(server.startedAt)}${server.standby ? ", standby" : ""}`,
          ],
          ["Log", logText(overview, growth)],
          [
            "Subscriptions",
            `${counted(subscriptions.all)}: ${counted(subscriptions.behind)} behind, ${counted(subscriptions.blocked)} blocked, ${counted(subscriptions.leased)} leased, ${counted(subscriptions.deferred)} deferred`,
          ],
          ["Correlators", integer(correlators)],
          ["Append lock", lockText(appendLock)],
          ["Connections", `${connections.used} of ${connections.max - connections.reserved}`],
          ["Storage", `${bytes(size)} rows, ${bytes(indexes)} indexes`],
        ]);
        if (subscriptions.blocked.count > 0)
          output.line(
            output.style("yellow", "\nact-drizzle blocked shows what is blocked, and where it stands."),
          );
      }),
    );
}
