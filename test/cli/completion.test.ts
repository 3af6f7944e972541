/** `act-drizzle completion`: the scripts that it prints, and what bash offers with its own. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { runCommand } from "./command.ts";

describe("completion", () => {
  /** What bash offers for the last of the words. */
  async function offered(...words: string[]): Promise<string[]> {
    const { out } = await runCommand(["completion", "bash"]);
    const script = `${out}\nCOMP_WORDS=(act-drizzle "$@"); COMP_CWORD=$#; _act_drizzle; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const child = spawn("bash", ["-c", script, "bash", ...words], { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) lines.push(line);
    return lines;
  }

  // Windows has no bash of its own.
  test.skipIf(process.platform === "win32")("in bash offers commands, options and choices", async () => {
    expect(await offered("st")).toEqual(["status", "stream"]);
    expect(await offered("lag", "--la")).toEqual(["--lane"]);
    expect(await offered("--schema", "shop", "blocked", "--af")).toEqual(["--after"]);
    expect(await offered("completion", "z")).toEqual(["zsh"]);
  });

  test.each(["zsh", "fish"])("in %s knows every command", async (shell) => {
    const { code, out } = await runCommand(["completion", shell]);
    expect(code).toBe(0);
    for (const name of ["status", "prioritize", "completion"]) expect(out).toContain(name);
    expect(out).toMatchSnapshot();
  });

  test("of another shell is refused", async () => {
    const { code, err } = await runCommand(["completion", "tcsh"]);
    expect(code).toBe(2);
    expect(err).toContain("bash, zsh, fish");
  });
});
