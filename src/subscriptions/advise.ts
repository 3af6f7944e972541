/** Logs once per store what an app with reactions misses without notifications. */
import type { Context } from "../context.ts";
import { log } from "../values/log.ts";

const advised = new WeakSet<Context>();

/** Called with each subscribe. It logs at level info, because an app of a single process may do without notify. */
export function adviseNotify(context: Context, subscriptions: number): void {
  if (context.notify || subscriptions === 0 || advised.has(context)) return;
  advised.add(context);
  const { schema, table } = context.names;
  log().info(
    `[act-drizzle] "${schema}"."${table}": notify is off, so this process claims after its own commits only; other processes' events, expired leases, and subscriptions that others reset or unblock wait for its next commit: docs/guides/reliability.md, "Reactions without notify"`,
  );
}
