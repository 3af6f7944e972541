/** Reads the options from the variables that libpq reads. An empty variable counts as not set. */
import { readSource, type Values } from "./sources.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const readEnvironment = (env: Environment): Values =>
  readSource("env", (name) => env[name] || undefined);
