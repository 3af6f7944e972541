/** Who is measured. A subject is found by its id, also in child processes. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Store } from "@rotorsoft/act";
import type { OpenOptions, Subject } from "../lib/types.ts";

export const ours: Subject = {
  id: "act-drizzle",
  title: "act-drizzle",
  sql: true,
  async open(options: OpenOptions): Promise<Store> {
    const { PostgresStore } = await import("../../src/index.ts");
    return new PostgresStore({ table: "events", ...options });
  },
};

export const baseline: Subject = {
  id: "baseline",
  title: "act-pg's protocol",
  sql: true,
  async open(options) {
    const { ActPgBaseline } = await import("../baseline-act-pg/index.ts");
    return new ActPgBaseline(options);
  },
};

/** The baseline against itself: what differs is noise. */
export const twin: Subject = { ...baseline, id: "twin", title: "act-pg's protocol (A/A)" };

/** The environment variable with the folder of {@link checkout}. */
export const CHECKOUT = "BENCH_CHECKOUT";

/** Another checkout of this repository, for `bench/checkouts.ts`. */
export const checkout: Subject = {
  id: "checkout",
  title: "another checkout",
  sql: true,
  async open(options) {
    const { PostgresStore } = await import(
      pathToFileURL(join(process.env[CHECKOUT] ?? "", "src/index.ts")).href
    );
    return new PostgresStore({ table: "events", ...options });
  },
};

const SUBJECTS: readonly Subject[] = [ours, baseline, twin, checkout];

export function subjectById(id: string): Subject {
  const subject = SUBJECTS.find((candidate) => candidate.id === id);
  if (!subject)
    throw new Error(`No subject is called ${id}; there are ${SUBJECTS.map((s) => s.id).join(", ")}`);
  return subject;
}
