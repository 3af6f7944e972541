/** docs/reports/mutation.md: the scores, and each mutant that lives with the reason why. */
import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Status, Verdict } from "./messages.ts";
import type { Mutant } from "./mutants.ts";
import { reasonFor } from "./reasons.ts";
import { isSql } from "./sql.ts";

type Found = { readonly mutant: Mutant; readonly verdict: Verdict | undefined };

const count = (found: readonly Found[], ...statuses: readonly Status[]): number =>
  found.filter(({ verdict }) => verdict && statuses.includes(verdict.status)).length;

const percent = (part: number, whole: number) =>
  whole === 0 ? "–" : `${((100 * part) / whole).toFixed(1)} %`;

/** A text of SQL that became empty, or that PostgreSQL could not read: any test at all notices. */
const isTrivial = ({ mutant, verdict }: Found): boolean =>
  verdict?.status === "refused" || (mutant.mutator === "StringLiteral" && isSql(mutant.original));

const isSame = ({ mutant }: Found): boolean => reasonFor(mutant)?.same === true;

function row(title: string, all: readonly Found[]): string {
  const found = all.filter(({ verdict }) => verdict !== undefined);
  const hard = found.filter((f) => !isTrivial(f));
  const cells = [
    title,
    found.length,
    count(found, "killed"),
    count(found, "refused"),
    count(found, "timeout"),
    count(found, "survived", "unclear"),
    count(found, "no coverage"),
    percent(count(found, "killed", "refused", "timeout"), found.length),
    percent(count(hard, "killed"), hard.length),
    percent(count(hard, "killed"), hard.filter((f) => count([f], "killed") > 0 || !isSame(f)).length),
  ];
  return `| ${cells.join(" | ")} |`;
}

const HEAD = `| | mutants | killed | refused | timeout | survived | no coverage | score | strict | strict, of those that differ |
|---|---|---|---|---|---|---|---|---|---|`;

const code = (text: string) => {
  const one = text.replaceAll(/\s+/g, " ").trim();
  const short = one.length > 90 ? `${one.slice(0, 87)}…` : one;
  return short === "" ? "nothing" : `\`\` ${short.replaceAll("|", "\\|")} \`\``;
};

const reasonOf = ({ mutant, verdict }: Found): string =>
  reasonFor(mutant)?.reason ??
  (verdict?.status === "no coverage"
    ? "**not reached** by a running test; what is decided while modules load has not been tried by itself yet"
    : "**not noticed** by the last run that tried it, which may be older than the newest tests");

function living(found: readonly Found[]): string {
  const alive = found.filter((f) => count([f], "survived", "unclear", "no coverage") > 0);
  const sections: string[] = [];
  for (const [file, own] of Map.groupBy(alive, ({ mutant }) => mutant.file)) {
    const lines = [...Map.groupBy(own, reasonOf)].map(
      ([reason, same]) =>
        `- ${reason}\n${same
          .map(({ mutant }) => `  - ${code(mutant.original)} → ${code(mutant.replacement)}${place(mutant)}`)
          .join("\n")}`,
    );
    sections.push(`### \`${file}\`\n\n${lines.join("\n")}`);
  }
  return sections.join("\n\n");
}

/** The line around a change that says little by itself. */
const place = ({ key, original }: Mutant) => {
  const line = key.split(" | ")[2] ?? "";
  return original.length < 25 && line.length > original.length ? ` in ${code(line)}` : "";
};

export function writePage(
  page: string,
  prose: string,
  mutants: readonly Mutant[],
  verdicts: ReadonlyMap<string, Verdict>,
): void {
  const found = mutants.map((mutant): Found => ({ mutant, verdict: verdicts.get(mutant.key) }));
  const folders = Map.groupBy(found, ({ mutant }) => dirname(mutant.file));
  const sql = found.filter(({ mutant }) => mutant.mutator.startsWith("SQL "));
  const table = [
    HEAD,
    ...[...folders].map(([folder, own]) => row(`\`${folder}\``, own)),
    row("**all**", found),
    row("of these inside SQL", sql),
  ].join("\n");
  const files = [
    HEAD,
    ...[...Map.groupBy(found, ({ mutant }) => mutant.file)].map(([file, own]) => row(`\`${file}\``, own)),
  ].join("\n");
  const missing = found.filter(({ verdict }) => verdict === undefined).length;
  const note = missing > 0 ? `\n\n${missing} mutants of the current sources have not been run yet.` : "";
  const late = found.filter(({ verdict }) => verdict?.status === "timeout");
  writeFileSync(
    page,
    [
      prose.trim(),
      `## Scores\n\n${table}${note}`,
      `## By file\n\n${files}`,
      `## Who lives, and why\n\n${living(found)}`,
      `## Timeouts\n\n${late.map(({ mutant }) => `- \`${mutant.file}\` ${code(mutant.original)} → ${code(mutant.replacement)}${place(mutant)}`).join("\n") || "None."}`,
    ]
      .join("\n\n")
      .concat("\n"),
  );
}
