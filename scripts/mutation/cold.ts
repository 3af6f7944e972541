/**
 * What is decided while modules load, which a warm worker has behind it: `vitest run`, one mutant each time,
 * switched on by Stryker's environment variable.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { Verdict } from "./messages.ts";
import type { Mutant } from "./mutants.ts";
import { TESTS } from "./tests.ts";

const PATIENCE = 240_000;

type Report = {
  testResults: { name: string; assertionResults: { status: string; fullName: string }[] }[];
};

export type ColdFile = {
  readonly file: string;
  readonly millis: number;
  readonly mutants: ReadonlySet<string>;
};

export class Cold {
  readonly #folder: string;
  readonly #url: string;
  #files: readonly ColdFile[] = [];
  #serial = 0;

  constructor(folder: string, url: string) {
    this.#folder = folder;
    this.#url = url;
  }

  /** Runs all files without a mutant: they must pass, and each says what it reaches. */
  async measure(): Promise<void> {
    const cover = join(this.#folder, "cover");
    rmSync(cover, { recursive: true, force: true });
    mkdirSync(cover);
    const found: ColdFile[] = [];
    for (const file of TESTS) {
      const start = performance.now();
      const { failed, hung } = await this.#vitest([file, "--passWithNoTests"], { MUTATION_COVER: cover });
      if (failed || hung) throw new Error(`${file} fails without a mutant: ${failed ?? "it hangs"}`);
      const millis = performance.now() - start;
      for (const name of readdirSync(cover)) {
        const { testPath, mutants } = JSON.parse(readFileSync(join(cover, name), "utf8"));
        found.push({ file: relative(this.#folder, testPath), millis, mutants: new Set(mutants) });
        rmSync(join(cover, name));
      }
    }
    this.#files = found.sort((a, b) => a.millis - b.millis);
  }

  async judge(mutant: Mutant): Promise<Verdict> {
    const files = this.#files.filter(({ mutants }) => mutants.has(mutant.id)).map(({ file }) => file);
    if (files.length === 0) return { status: "no coverage" };
    const active = { __STRYKER_ACTIVE_MUTANT__: mutant.id };
    const { failed, file, hung } = await this.#vitest([...files, "--bail=1"], active);
    if (hung) return { status: "timeout", by: files.join(", ") };
    if (!failed) return { status: "survived" };
    if (!file) return { status: "killed", by: failed };
    // Chance does not strike twice, and a test that fails without the mutant proves nothing.
    const name = ["-t", `^${failed.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`];
    const again = await this.#vitest([file, ...name], active);
    const without = await this.#vitest([file, ...name], {});
    if (without.failed) return { status: "unclear", by: failed };
    return again.failed || again.hung ? { status: "killed", by: failed } : { status: "survived" };
  }

  async #vitest(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<{ failed?: string; file?: string; hung?: boolean }> {
    const output = join(this.#folder, `report-${this.#serial++}.json`);
    const child = spawn(
      "node_modules/.bin/vitest",
      [
        ...["run", "--config", "scripts/mutation/vitest.config.ts", "--reporter=json"],
        ...[`--outputFile=${output}`, ...args],
      ],
      {
        cwd: this.#folder,
        detached: true,
        stdio: "ignore",
        env: { ...process.env, TEST_DATABASE_URL: this.#url, ...env },
      },
    );
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      if (child.pid) process.kill(-child.pid, "SIGKILL");
    }, PATIENCE);
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
    clearTimeout(timer);
    if (hung) return { hung };
    try {
      const report: Report = JSON.parse(readFileSync(output, "utf8"));
      for (const { name, assertionResults } of report.testResults) {
        const failed = assertionResults.find(({ status }) => status === "failed")?.fullName;
        if (failed) return { failed, file: relative(this.#folder, name) };
      }
      return code === 0 ? {} : { failed: "the file does not load" };
    } finally {
      rmSync(output, { force: true });
    }
  }
}
