import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Change,
  type Commit,
  decodePath,
  GitError,
  listFiles,
  openRepository,
  readCommits,
  splitNul,
} from "../../examples/git/git.ts";
import { lines, TestRepository } from "./repository.ts";

let repository: TestRepository;
const create = () => {
  repository = new TestRepository();
  return repository;
};
afterEach(() => repository?.remove());

async function read(path = repository.path, limit?: number): Promise<Commit[]> {
  const { tip } = await openRepository(path, limit);
  const commits: Commit[] = [];
  for await (const commit of readCommits(path, tip ?? "")) commits.push(commit);
  return commits;
}

async function changes(): Promise<Change[]> {
  return (await read()).flatMap((commit) => commit.changes);
}

const text = { added: 0, removed: 0, binary: false, from: undefined };

describe("a commit", () => {
  it("has its author, not its committer, and the time it was authored", async () => {
    create().write("a", "1\n").commit("one", { name: "Grace  Hopper", email: "grace@example.org" });
    const [commit] = await read();
    expect(commit).toMatchObject({
      sha: repository.git("rev-parse", "HEAD").trim(),
      email: "grace@example.org",
      authored: new Date(1_700_000_060_000),
    });
  });

  it("is not renamed by a mailmap", async () => {
    create().write(".mailmap", "Somebody <else@example.org> <ada@example.org>\n").commit("one");
    repository.git("config", "log.mailmap", "true");
    expect((await read())[0]?.email).toBe("ada@example.org");
  });

  it("may change nothing", async () => {
    create().commit("empty").write("a", "1\n").commit("one");
    expect((await read()).map((commit) => commit.changes.length)).toEqual([0, 1]);
  });

  it("comes after its parents", async () => {
    create();
    for (const n of [1, 2, 3]) repository.write("a", lines(n)).commit(`${n}`);
    const shas = repository.git("rev-list", "--reverse", "HEAD").trim().split("\n");
    expect((await read()).map(({ sha }) => sha)).toEqual(shas);
  });
});

describe("a file", () => {
  it("is added, changed and deleted, with its lines", async () => {
    create().write("a", lines(3)).commit("add").write("a", lines(2)).commit("change");
    repository.delete("a").commit("delete");
    expect(await changes()).toEqual([
      { ...text, kind: "added", path: "a", added: 3 },
      { ...text, kind: "changed", path: "a", removed: 1 },
      { ...text, kind: "deleted", path: "a", removed: 2 },
    ]);
  });

  it("is renamed, with the lines that changed on the way", async () => {
    create().write("old name", lines(20)).commit("add").move("old name", "new name");
    repository.write("new name", `${lines(20)}more\n`).commit("rename");
    expect((await changes())[1]).toEqual({
      ...text,
      kind: "renamed",
      path: "new name",
      from: "old name",
      added: 1,
    });
  });

  it("that is copied is an added one, whatever is configured", async () => {
    create().write("a", lines(20)).commit("add");
    repository.git("config", "diff.renames", "copies");
    repository.write("a", lines(21)).write("b", lines(20)).commit("copy");
    expect(await changes()).toContainEqual({ ...text, kind: "added", path: "b", added: 20 });
  });

  it("that is binary has no lines", async () => {
    create()
      .write("b", Buffer.from([0, 1, 2]))
      .commit("add");
    expect(await changes()).toEqual([{ ...text, kind: "added", path: "b", binary: true }]);
  });

  it("that only changes its mode or its type is changed", async () => {
    create().write("a", "target").commit("add");
    repository.git("update-index", "--chmod=+x", "a");
    repository.git("commit", "--quiet", "--message=mode");
    const blob = repository.git("rev-parse", "HEAD:a").trim();
    repository.git("update-index", "--cacheinfo", `120000,${blob},a`);
    repository.git("commit", "--quiet", "--message=type");
    expect((await changes()).map(({ kind }) => kind)).toEqual(["added", "changed", "changed"]);
  });

  it("may have any name", async () => {
    const names = [
      " ",
      "tab\there",
      "line\nbreak",
      "\nfirst",
      "é/日本語/🦊",
      '"quoted"',
      "{a => b}",
      ":0 1 2 3 A",
      "\u0001",
    ];
    create();
    for (const name of names) repository.write(name, "1\n");
    repository.commit("add");
    expect((await changes()).map(({ path }) => path).sort()).toEqual([...names].sort());
    const { tip } = await openRepository(repository.path);
    const files: string[] = [];
    for await (const file of listFiles(repository.path, tip ?? "")) files.push(file);
    expect(files.sort()).toEqual([...names].sort());
  });

  it("that came with a merge counts once, for the merge", async () => {
    create().write("a", "1\n").commit("root");
    repository.git("checkout", "--quiet", "-b", "branch");
    repository.write("b", lines(2)).commit("on the branch").write("b", lines(5)).commit("again");
    repository.git("checkout", "--quiet", "main");
    repository.write("a", "1\n2\n").commit("on main");
    repository.git("merge", "--quiet", "--no-ff", "--message=merge", "branch");
    const commits = await read();
    expect(commits.map((commit) => commit.changes.map(({ path, added }) => [path, added]))).toEqual([
      [["a", 1]],
      [["a", 1]],
      [["b", 5]],
    ]);
  });
});

describe("a repository", () => {
  it("is read from a folder inside, too", async () => {
    create().write("top", "1\n").write("inside/a", "1\n").commit("one");
    const commits = await read(join(repository.path, "inside"));
    expect(commits[0]?.changes.map(({ path }) => path)).toEqual(["inside/a", "top"]);
  });

  it("without commits has no tip", async () => {
    expect(await openRepository(create().path)).toEqual({
      path: repository.path,
      commits: 0,
      shallow: false,
    });
  });

  it("is cut to its oldest commits", async () => {
    create();
    for (const n of [1, 2, 3]) repository.write("a", lines(n)).commit(`${n}`);
    expect(await read(repository.path, 2)).toHaveLength(2);
    expect(await openRepository(repository.path, 9)).toMatchObject({ commits: 3 });
    expect((await read(repository.path, 1))[0]?.changes[0]).toMatchObject({ kind: "added" });
  });

  it("says when it is shallow", async () => {
    create().write("a", lines(1)).commit("1").write("a", lines(2)).commit("2");
    const clone = mkdtempSync(join(tmpdir(), "act-demo-clone-"));
    try {
      execFileSync("git", ["clone", "--quiet", "--depth=1", `file://${repository.path}`, clone]);
      expect(await openRepository(clone)).toMatchObject({ shallow: true, commits: 1 });
      expect((await read(clone))[0]?.changes).toEqual([{ ...text, kind: "added", path: "a", added: 2 }]);
    } finally {
      rmSync(clone, { recursive: true });
    }
  });

  it("is missed with git's own words", async () => {
    const folder = mkdtempSync(join(tmpdir(), "act-demo-none-"));
    try {
      await expect(openRepository(folder)).rejects.toThrow(GitError);
      await expect(openRepository(folder)).rejects.toThrow(/not a git repository/);
      await expect(openRepository(join(folder, "nowhere"))).rejects.toThrow(GitError);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("that is broken is an error, not a shorter history", async () => {
    create().write("a", lines(1)).commit("1").write("a", lines(2)).commit("2");
    const { tip } = await openRepository(repository.path);
    const [blob = ""] = repository.git("rev-parse", "HEAD:a").split("\n");
    const object = join(repository.path, ".git/objects", blob.slice(0, 2), blob.slice(2));
    rmSync(object);
    mkdirSync(object);
    writeFileSync(join(object, "x"), "");
    const reading = async () => {
      for await (const _ of readCommits(repository.path, tip ?? ""));
    };
    await expect(reading()).rejects.toThrow(GitError);
  });
});

describe("bytes", () => {
  it("are cut at NUL wherever the chunks end", async () => {
    const whole = Buffer.from("ab\0\0cde\0f");
    for (let size = 1; size <= whole.length; size++) {
      const pieces: string[] = [];
      for await (const piece of splitNul(chunks(whole, size))) pieces.push(piece.toString());
      expect(pieces).toEqual(["ab", "", "cde", "f"]);
    }
  });

  it("that are no UTF-8 become a name of their own", () => {
    expect(decodePath(Buffer.from([0x61, 0xe9]))).toBe("a\\xe9");
    expect(decodePath(Buffer.from("a\uFFFD"))).toBe("a\uFFFD");
  });
});

async function* chunks(buffer: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < buffer.length; i += size) yield buffer.subarray(i, i + size);
}
