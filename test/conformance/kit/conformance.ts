/** Runs every section of the contract against one adapter. */
import { describe, onTestFinished, test } from "vitest";
import { sections } from "../sections.ts";
import type {
  Capabilities,
  Capability,
  ConformanceTest,
  DatabaseFixture,
  Harness,
  Section,
  StoreOptions,
} from "./section.ts";

export type Conformance = {
  /**
   * A fresh store per test. `needs` are the capabilities that the test will use: without `sql`, it
   * leaves the tables as they were made, so an adapter may use them again.
   */
  create(options?: StoreOptions, needs?: readonly Capability[]): Promise<Harness>;
  readonly capabilities: Capabilities;
  /** The id of the first event that `restore` writes: 1 for a database sequence. */
  readonly firstId: number;
  /**
   * Tests that this adapter is known to fail, by full name, with the reason. Such a test must go on
   * failing: an entry that has become untrue fails the suite, so the table can't rot.
   */
  readonly differs?: Readonly<Record<string, string>>;
  /** Tests that make no sense in this setting, by full name, with the reason: skipped, and named so. */
  readonly except?: Readonly<Record<string, string>>;
  /** Only these; default all. */
  readonly only?: readonly Section[];
};

export function defineConformance(adapter: string, conformance: Conformance): void {
  const { capabilities, differs = {}, except = {}, only = sections } = conformance;
  const names = new Set(sections.flatMap(({ tests }) => tests.map(({ name }) => name)));
  const unknown = Object.keys({ ...differs, ...except }).filter((name) => !names.has(name));
  if (unknown.length) throw new Error(`No such tests in the conformance suite: ${unknown.join("; ")}`);

  describe(adapter, () => {
    for (const { title, tests } of only) {
      describe(title, () => {
        for (const line of tests) {
          const missing = line.needs?.filter((need) => !capabilities[need]) ?? [];
          const reason = differs[line.name];
          const options = line.timeout === undefined ? {} : { timeout: line.timeout };
          const run = () => play(line, conformance);
          // Skipped with its reason in its name: the adapter lacks what the line is about, …
          if (missing.length) test.skip(`${line.name} [needs ${missing.join(", ")}]`);
          // … or the surroundings do, as whoever skips it here says.
          else if (except[line.name]) test.skip(`${line.name} [${except[line.name]}]`);
          else if (reason) test.fails(`${line.name} [differs: ${reason}]`, options, run);
          else test(line.name, options, run);
        }
      });
    }
  });
}

async function play(line: ConformanceTest, { create, firstId }: Conformance): Promise<void> {
  const harness = await create(line.options, line.needs);
  onTestFinished(() => harness.dispose());
  await line.run(sceneOf(harness, firstId));
}

function sceneOf(harness: Harness, firstId: number): DatabaseFixture {
  return {
    store: harness.store,
    firstId,
    second: (options) => {
      if (!harness.second)
        throw new Error("This harness has no second store; declare the need for `shared`.");
      return harness.second(options);
    },
    get raw() {
      if (!harness.raw) throw new Error("This harness has no raw access; declare the need for `sql`.");
      return harness.raw;
    },
  };
}
