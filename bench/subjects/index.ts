/** Who is measured. A subject is found by its id, also in child processes. */
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

const SUBJECTS: readonly Subject[] = [ours, baseline, twin];

export function subjectById(id: string): Subject {
  const subject = SUBJECTS.find((candidate) => candidate.id === id);
  if (!subject)
    throw new Error(`No subject is called ${id}; there are ${SUBJECTS.map((s) => s.id).join(", ")}`);
  return subject;
}
