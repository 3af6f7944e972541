/** Imports a module of the user's. Its top-level code runs in this process. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { importPassively } from "../options/passive.ts";
import { UsageError } from "./session.ts";

export type UserModule = { readonly path: string; readonly exports: Readonly<Record<string, unknown>> };

export async function importModule(module: string): Promise<UserModule> {
  const path = resolve(module);
  try {
    return { path, exports: await importPassively(pathToFileURL(path).href) };
  } catch (error) {
    throw new UsageError(
      `${path} cannot be imported: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** `act-drizzle/projections`, which needs `drizzle-orm`; the store does not. */
export async function importProjections(): Promise<typeof import("../projections/index.ts")> {
  try {
    return await import("../projections/index.ts");
  } catch (error) {
    if (error instanceof Error && error.message.includes("'drizzle-orm'"))
      throw new UsageError("this command needs drizzle-orm: npm install drizzle-orm");
    throw error;
  }
}
