/**
 * Every public name has a docstring. TypeDoc asks for the same (`npm run docs:api`), but npm has to fetch it, so that the
 * gate does without.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { sourcesOfEntries } from "../../dev/entries.ts";

type Named = { readonly file: string; readonly name: string };

/** The names that a file exports from other files, each with the file that declares it. */
function reexports(file: string): Named[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/^export (?:type )?\{([^}]*)\} from "(\.[^"]+)";/gm)].flatMap(
    ([, names = "", from = ""]) => {
      const declaring = join(dirname(file), from);
      const inner = reexports(declaring);
      return names
        .split(",")
        .map(
          (each) =>
            each
              .trim()
              .replace(/^type /, "")
              .split(" as ")[0] ?? "",
        )
        .filter((name) => name !== "")
        .map((name) => inner.find((each) => each.name === name) ?? { file: declaring, name });
    },
  );
}

/** The names that a file declares and exports itself. */
const declared = (file: string): Named[] =>
  [
    ...readFileSync(file, "utf8").matchAll(
      /^export (?:abstract |async )?(?:type|class|function\*?|const) (\w+)/gm,
    ),
  ].map(([, name = ""]) => ({ file, name }));

const isDocumented = ({ file, name }: Named): boolean =>
  new RegExp(`\\*/\\n(?:export )?(?:abstract |async )?(?:type|class|function\\*?|const) ${name}\\b`).test(
    readFileSync(file, "utf8"),
  );

test.each([...sourcesOfEntries()])("each name that %s exports has one", (_, url) => {
  const file = fileURLToPath(url);
  const names = [...reexports(file), ...declared(file)];
  expect(names.length).toBeGreaterThan(0);
  expect(names.filter((each) => !isDocumented(each)).map(({ name }) => name)).toEqual([]);
});
