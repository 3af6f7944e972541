/** How scripts/generate-docs.ts writes the generated parts of a page. */
import { describe, expect, it } from "vitest";
import { fill } from "../../scripts/docs/generator.ts";

const page = `# Page
<!-- generated:one -->
old
<!-- /generated -->
between
<!-- generated:two -->
<!-- /generated -->
`;

describe("a generated part of a page", () => {
  it("replaces what is between its markers, and nothing else", () => {
    expect(fill(page, "one", "new\n")).toBe(page.replace("old", "new"));
    expect(fill(page, "two", "new")).toBe(page.replace("two -->\n", "two -->\nnew\n"));
  });

  it("may hold a dollar sign", () => {
    expect(fill(page, "one", "$1 $&")).toContain("\n$1 $&\n");
  });

  it("must have its markers in the page", () => {
    expect(() => fill(page, "three", "new")).toThrow("<!-- generated:three --> must be in the page once");
    expect(() => fill(page.replace("<!-- /generated -->\nbetween", "between"), "one", "new")).toThrow(
      "has no",
    );
  });
});
