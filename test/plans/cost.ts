/** What a plan touched: which indexes, which tables in full, how many rows and pages. */
import { expect } from "vitest";
import type { Explained, PlanNode } from "./tap.ts";

export type Cost = {
  /** Indexes of the plan, without the table's name in front, sorted. */
  readonly indexes: readonly string[];
  /** Tables that were read in full. */
  readonly scanned: readonly string[];
  /** Rows that scans delivered or threw away, over all their loops. */
  readonly rows: number;
  /** Rows that all steps delivered or threw away, those over results of other steps too. */
  readonly handled: number;
  /** Pages of 8 kB, found in memory or read. */
  readonly pages: number;
};

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

export function costOf({ Plan }: Explained, table: string): Cost {
  // Where ids are drawn from is looked up in the catalog, which is no log.
  const nodes = nodesOf(Plan).filter(
    (node) => !(node["Relation Name"] ?? node["Index Name"])?.startsWith("pg_"),
  );
  const scans = nodes.filter(
    (node) => node["Node Type"].includes("Scan") && (node["Relation Name"] ?? node["Index Name"]),
  );
  const rows = (node: PlanNode) =>
    (node["Actual Rows"] ?? 0) +
    (node["Rows Removed by Filter"] ?? 0) +
    (node["Rows Removed by Join Filter"] ?? 0) +
    (node["Rows Removed by Index Recheck"] ?? 0);
  const sumOf = (of: readonly PlanNode[]) =>
    Math.round(of.reduce((sum, node) => sum + rows(node) * (node["Actual Loops"] ?? 1), 0));
  return {
    indexes: [...new Set(nodes.flatMap((node) => node["Index Name"] ?? []))]
      .map((name) => name.replace(`${table}_`, ""))
      .sort(),
    scanned: scans
      .filter((node) => node["Node Type"] === "Seq Scan" && node["Actual Loops"] !== 0)
      .flatMap((node) => node["Relation Name"] ?? []),
    rows: sumOf(scans),
    handled: sumOf(nodes),
    pages: (Plan["Shared Hit Blocks"] ?? 0) + (Plan["Shared Read Blocks"] ?? 0),
  };
}

export type Bounds = {
  /** What the plans use, and nothing else. A list in the list: at least one of these, which serve alike. */
  readonly indexes: readonly (string | readonly string[])[];
  /** For one statement, as are the pages. */
  readonly rows: number;
  readonly pages: number;
};

/** The plans use these indexes and no others, scan no table in full, and each stays below the bounds. */
export function expectWithin(costs: readonly Cost[], { indexes, rows, pages }: Bounds): void {
  const used = new Set(costs.flatMap((cost) => cost.indexes));
  const groups = indexes.map((index) => (typeof index === "string" ? [index] : index));
  expect({
    unexpected: [...used].filter((index) => !groups.flat().includes(index)),
    missing: groups.filter((group) => !group.some((index) => used.has(index))),
    scanned: costs.flatMap(({ scanned }) => scanned),
  }).toEqual({ unexpected: [], missing: [], scanned: [] });
  expect(Math.max(...costs.map((cost) => cost.rows)), "rows of one statement").toBeLessThanOrEqual(rows);
  expect(Math.max(...costs.map((cost) => cost.pages)), "pages of one statement").toBeLessThanOrEqual(pages);
}
