/** How scripts/defects.locate.ts finds the places of deliberate defects. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the source of templates is what these tests are about
import { describe, expect, it } from "vitest";
import { applyChanges, codeChanges, parse, sqlChanges } from "../../scripts/defects.locate.ts";

// The same statement and the same code, before and after names and line breaks have changed.
const before = `const text = (names: Names) => \`select at from \${names.streams} s where s.at < \${names.limit} limit 1\`;
export function find(rows: Row[]) { if (rows.length === 0 || rows[0]?.at === null) return undefined; return rows[0]; }`;
const after = `const positionsQuery = (t: Tables) => \`select at from \${t.subscriptions} s
  where s.at
    < \${t.bound} limit 1\`;
export function find(found: Row[]) {
  if (found.length === 0 || found[0]?.at === null)
    return undefined;
  return found[0];
}`;

const changed = (
  source: string,
  find: (module: ReturnType<typeof parse>) => ReturnType<typeof sqlChanges>,
) => {
  const module = parse("find.ts", source);
  return applyChanges(module, find(module));
};

describe("a deliberate defect", () => {
  it("finds its place in a statement, whatever the expressions in it are called", () => {
    const inclusive = (source: string) => changed(source, (m) => sqlChanges(m, "s.at < ${}", "s.at <= ${}"));
    expect(inclusive(before)).toContain("where s.at <= ${names.limit} limit 1`");
    expect(inclusive(after)).toContain("where s.at <= ${t.bound} limit 1`");
  });

  it("may change the expression itself", () => {
    const one = changed(before, (m) => sqlChanges(m, "s.at < ${}", "s.at < ${$ - 1}"));
    expect(one).toContain("where s.at < ${names.limit - 1} limit 1`");
  });

  it("finds its place in code by structure", () => {
    const half = (source: string) =>
      changed(source, (m) => codeChanges(m, "@find IfStatement > .test", "${left}"));
    expect(half(before)).toContain("if (rows.length === 0) return undefined;");
    expect(half(after)).toMatch(/if \(found\.length === 0\)\s+return undefined;/);
  });

  it("is not found where it is not", () => {
    expect(sqlChanges(parse("find.ts", before), "s.at > ${}", "")).toEqual([]);
  });

  it("must leave code that can be parsed", () => {
    expect(() => changed(before, (m) => codeChanges(m, "@find IfStatement > .test", ""))).toThrow("find.ts");
  });
});
