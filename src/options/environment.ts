/** What libpq reads from the environment. An empty variable is as good as none. */
import { readSource, type Values } from "./sources.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const readEnvironment = (env: Environment): Values =>
  readSource("env", (name) => env[name] || undefined);
