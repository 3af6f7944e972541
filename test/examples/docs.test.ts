import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const doc = read("docs/guides/drizzle.md");

describe("docs/guides/drizzle.md", () => {
  it.each(["examples/orders/typed-events.ts"])("shows %s as it is, for copying", (path) => {
    const [, shown] = new RegExp(`<!-- ${path} -->\n\`\`\`ts\n(.*?)\`\`\``, "s").exec(doc) ?? [];
    expect(shown).toBe(read(path));
  });
});
