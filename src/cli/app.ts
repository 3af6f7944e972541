/** The app of a user, and the names of the events that it reacts to. */
import type { Command } from "commander";
import type { EventNames } from "../admin/index.ts";
import type { BackfillOptions } from "../projections/index.ts";
import { importModule, importProjections } from "./module.ts";
import { UsageError } from "./session.ts";

export type App = BackfillOptions["app"];

const isApp = (value: unknown): value is App =>
  typeof value === "object" && value !== null && "registry" in value && "lanes" in value;

export async function appOf(module: string, name: string): Promise<App> {
  const { path, exports } = await importModule(module);
  const app = exports[name];
  if (!isApp(app))
    throw new UsageError(
      `${path} exports no app as "${name}": give the name under which it exports what act()…build() returned, as --export <name>.`,
    );
  return app;
}

export type NamesFlags = { readonly names?: string; readonly app?: string; readonly export: string };

/** The store does not know which events an app reacts to. With these options the next event shown is one of them. */
export const withNames = (command: Command): Command =>
  command
    .option("--names <names>", "only events of these names count: Placed,Shipped")
    .option("--app <module>", "only events count that this app reacts to")
    .option("--export <name>", "name of the app among the exports of --app", "app");

/** Undefined without the options: then every event of the source counts. */
export async function namesOf(flags: NamesFlags): Promise<EventNames | undefined> {
  if (flags.names !== undefined) {
    const names = flags.names.split(",").map((name) => name.trim());
    if (flags.app !== undefined) throw new UsageError("Give --names or --app, not both.");
    if (names.includes("")) throw new UsageError("--names needs names of events, as Placed,Shipped.");
    return () => names;
  }
  if (flags.app === undefined) return undefined;
  const app = await appOf(flags.app, flags.export);
  const { namesForTarget } = await importProjections();
  return (subscription) => namesForTarget(app, subscription);
}
