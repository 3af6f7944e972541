import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const AUTHOR = { name: "Ada Lovelace", email: "ada@example.org" };

/** A git repository in a temporary folder, untouched by the configuration of whoever runs the tests. */
export class TestRepository {
  readonly path = mkdtempSync(join(tmpdir(), "act-demo-repository-"));
  #seconds = 1_700_000_000;

  constructor() {
    this.git("init", "--quiet", "--initial-branch=main");
  }

  git(...args: string[]): string {
    const date = `${this.#seconds} +0000`;
    return execFileSync("git", args, {
      cwd: this.path,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH,
        HOME: this.path,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: AUTHOR.name,
        GIT_AUTHOR_EMAIL: AUTHOR.email,
        GIT_AUTHOR_DATE: date,
        GIT_COMMITTER_NAME: AUTHOR.name,
        GIT_COMMITTER_EMAIL: AUTHOR.email,
        GIT_COMMITTER_DATE: date,
      },
    });
  }

  write(path: string, content: string | Buffer): this {
    const file = join(this.path, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return this;
  }

  move(from: string, to: string): this {
    mkdirSync(dirname(join(this.path, to)), { recursive: true });
    renameSync(join(this.path, from), join(this.path, to));
    return this;
  }

  delete(path: string): this {
    rmSync(join(this.path, path));
    return this;
  }

  /** Commits whatever changed, one minute after the commit before. */
  commit(message: string, author = AUTHOR): this {
    this.#seconds += 60;
    this.git("add", "--all");
    const by = `${author.name} <${author.email}>`;
    this.git("commit", "--quiet", "--allow-empty", `--message=${message}`, `--author=${by}`);
    return this;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const lines = (count: number, word = "line"): string =>
  Array.from({ length: count }, (_, i) => `${word} ${i}\n`).join("");
