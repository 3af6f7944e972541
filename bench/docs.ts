/**
 * The generated parts of docs/reports/performance.md, and its plots, from bench/results.json (`run.ts --docs`) and,
 * where they exist, the results of soaks (`soak.ts --json`). `npm run generate:docs` writes them.
 */
import "./lib/quiet.ts";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { figures } from "./lib/figures.ts";
import { median } from "./lib/measure.ts";
import { everyoneMarkdown, ratiosMarkdown, ratioText, usageMarkdown, withUnit } from "./lib/report.ts";
import { type Judged, judge, type Run } from "./lib/results.ts";
import { type Soak, soakFigures, soakMarkdown } from "./lib/soak-report.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
export const RESULTS = here("./results.json");
const SOAKS = ["soak.json", "soak-held.json"] as const;

async function readJson<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Why a row misses, by row id: what the profile showed and what was tried. Written by hand. */
type Remarks = Readonly<Record<string, string>>;

function missed(judged: readonly Judged[], remarks: Remarks): string {
  const lines = judged
    .filter(({ row, verdict }) => verdict === "miss" || remarks[row.id])
    .map(({ row, ratio, ours, verdict }) => {
      const reached = row.must && !("times" in row.must) ? withUnit(ours, row.unit) : ratioText(ratio);
      const goal = row.goal ? `, must reach ${row.goal}${verdict === "pass" ? " (met)" : ""}` : "";
      const head = `**${row.label}**: ${reached}${goal}.`;
      return `- ${head} ${remarks[row.id] ?? "Not explained yet."}`;
    });
  return [lines.join("\n") || "None.", remarks.all ?? ""].join("\n\n");
}

function about({ environment, command, since = [] }: Run, judged: readonly Judged[]): string {
  const settings = Object.entries(environment.settings).map(([name, value]) => `${name} ${value}`);
  const packages = Object.entries(environment.packages).map(([name, version]) => `${name} ${version}`);
  const count = (verdict: string) => judged.filter((j) => j.verdict === verdict).length;
  const later = since.map(
    (one) =>
      `- **Measured since**: ${one.date} UTC, \`${one.command}\`: ${one.scenarios.map((name) => `\`${name}\``).join(", ")}\n`,
  );
  return `${count("pass")} rows reach their goal, ${count("miss")} miss it.

- **Run**: ${environment.date} UTC, \`${command}\`
${later.join("")}- **Machine**: ${environment.machine}; shared, so trust the ratios and not the digits
- **Versions**: PostgreSQL ${environment.postgres}, Node ${environment.node}, ${packages.join(", ")}
- **Server**: ${settings.join(", ")}`;
}

const floors = (run: Run) =>
  run.scenarios
    .filter(({ note }) => note)
    .map(({ name, note }) => `- \`${name}\`: ${note}`)
    .join("\n");

function peersMarkdown(run: Run): string {
  const peers = Object.keys(run.subjects).filter((id) => !["act-drizzle", "baseline", "floor"].includes(id));
  return everyoneMarkdown(run, peers, median) || "Not measured in this run.";
}

const image = (file: string, caption: string) => `![${caption}](plots/${file})`;

/** Their names in the page's markers. */
export const BENCHMARK_PARTS = [
  "benchmark-run",
  "benchmark-ratios",
  "benchmark-floors",
  "benchmark-plots",
  "benchmark-misses",
  "benchmark-peers",
  "benchmark-soaks",
  "benchmark-usage",
] as const;
type Part = (typeof BENCHMARK_PARTS)[number];

type Plot = { readonly file: string; readonly svg: string };

async function soakMarkdowns(remarks: Remarks): Promise<{ text: string; plots: Plot[] }> {
  const texts: string[] = [];
  const plots: Plot[] = [];
  for (const name of SOAKS) {
    const soak = await readJson<Soak>(here(`./${name}`));
    if (!soak) continue;
    const key = name.replace(".json", "");
    const shown = soakFigures(soak, key);
    plots.push(...shown);
    const remark = remarks[key];
    const images = shown.map(({ file, caption }) => image(file, caption));
    texts.push([soakMarkdown(soak), ...(remark ? [remark] : []), ...images].join("\n\n"));
  }
  return { text: texts.join("\n\n\n"), plots };
}

/** The parts of the page by name, and the plots that they show. */
export async function benchmarkDocs(): Promise<{
  readonly parts: Readonly<Record<Part, string>>;
  readonly plots: readonly Plot[];
}> {
  const run = await readJson<Run>(RESULTS);
  if (!run) throw new Error("bench/results.json is not there: run `node bench/run.ts --docs` first");
  const remarks = (await readJson<Remarks>(here("./remarks.json"))) ?? {};
  const judged = judge(run);
  const shown = figures(run, judged);
  const soaks = await soakMarkdowns(remarks);
  const parts = {
    "benchmark-run": about(run, judged),
    "benchmark-ratios": ratiosMarkdown(judged),
    "benchmark-floors": floors(run),
    "benchmark-plots": shown.map(({ file, caption }) => image(file, caption)).join("\n\n"),
    "benchmark-misses": missed(judged, remarks),
    "benchmark-peers": peersMarkdown(run),
    "benchmark-soaks": soaks.text,
    "benchmark-usage": usageMarkdown(run),
  };
  return { parts, plots: [...shown, ...soaks.plots] };
}
