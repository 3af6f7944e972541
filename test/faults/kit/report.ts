/** One line of docs/reports/faults.md for each fault that was gone through: `npm run faults -- --docs` collects them. */
import { appendFileSync } from "node:fs";

export type FaultRecord = {
  /** Number in the list of faults, which orders the table. */
  readonly item: number;
  readonly fault: string;
  /** What ran meanwhile. */
  readonly load: string;
  readonly seconds: number;
  /** How often the fault was brought about. */
  readonly injected: number;
  /** Commits, by what their callers were told. */
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  /** Acknowledged, and not in the log. */
  readonly lost: number;
  /** In the log more than once. */
  readonly duplicated: number;
  readonly longestOutageMs: number;
};

/** Appends to the file that FAULTS_REPORT names; without it nothing is kept. */
export function record(of: FaultRecord): void {
  const file = process.env.FAULTS_REPORT;
  if (file) appendFileSync(file, `${JSON.stringify(of)}\n`);
}
