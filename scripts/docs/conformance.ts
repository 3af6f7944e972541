/** docs/reports/conformance.md: every line of the Store contract with the tests that hold an adapter to it. */
import type { ConformanceTest } from "../../test/conformance/kit/section.ts";
import { type LineId, lines } from "../../test/conformance/lines.ts";
import { sections } from "../../test/conformance/sections.ts";
import type { Generator } from "./generator.ts";

const groups: ReadonlyArray<readonly [prefix: string, title: string]> = [
  ["C", "Construction, seed, drop, dispose"],
  ["M", "commit"],
  ["Q", "query"],
  ["S", "subscribe, checkpoint, correlator lease"],
  ["L", "claim, ack, block, operators"],
  ["R", "query_streams, query_stats, truncate, restore"],
  ["N", "notify"],
  ["P", "Personal data"],
  ["D", "Dates and values"],
  ["F", "The framework on top"],
];

const isLine = (id: string): id is LineId => id in lines;
const ids = Object.keys(lines).filter(isLine);
const tests = sections.flatMap((section) => section.tests);
const testsOf = (id: LineId) => tests.filter((test) => test.id === id);
const untested = ids.filter((id) => testsOf(id).length === 0);

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function entry({ id, name, needs = [] }: ConformanceTest): string {
  const requirements = needs.length ? ` *(${needs.join(", ")})*` : "";
  return `${name.slice(id.length + 1)}${requirements}`;
}

function row(id: LineId): string {
  const own = testsOf(id).map(entry);
  return `| ${id} | ${cell(lines[id])} | ${own.length ? cell(own.join("<br>")) : "**no test**"} |`;
}

function table([prefix, title]: (typeof groups)[number]): string {
  const own = ids.filter((id) => id.startsWith(prefix));
  return [`## ${title}`, "", "| line | what must hold | tests |", "|---|---|---|", ...own.map(row)].join(
    "\n",
  );
}

export const conformanceTable: Generator = {
  file: "docs/reports/conformance.md",
  name: "conformance",
  render: () => {
    if (untested.length > 0) throw new Error(`no test for ${untested.join(", ")}`);
    return `${tests.length} tests for ${ids.length} lines.\n\n${groups.map(table).join("\n\n")}`;
  },
};
