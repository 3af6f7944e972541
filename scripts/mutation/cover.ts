/** Notes which mutants each test file reaches, while none is switched on. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";

const folder = process.env.MUTATION_COVER;
type Switches = { mutantCoverage?: { static: Record<string, number> } };

afterAll(() => {
  const { testPath } = expect.getState();
  if (!folder || !testPath) return;
  const switches: Switches | undefined = Reflect.get(globalThis, "__stryker__");
  const mutants = Object.keys(switches?.mutantCoverage?.static ?? {});
  const name = createHash("sha1").update(testPath).digest("hex");
  writeFileSync(join(folder, `${name}.json`), JSON.stringify({ testPath, mutants }));
});
