/** All that a process says, at the lowest log level, while everything fails: no password, payload or personal data. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { useDatabase } from "../../postgres/fixture.ts";
import { titled } from "../failover/programs.ts";
import { LONG, scale } from "../kit/scale.ts";

const fixture = useDatabase();
const FIXTURE = fileURLToPath(new URL("./fixtures/talkative.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

test.for(scale([true], [true, false]))(
  "nothing secret is printed or logged, notify: %s",
  async (notify, context) => {
    const mark = "mark-5ecret-9c41";
    const guest = await fixture.role("superuser");
    if (!guest) return context.skip("this server's user may not create roles");
    const password = "passw0rd-31f7";
    await fixture.sql.unsafe(`alter role ${guest.user} password '${password}'`);
    const url = new URL(fixture.url);
    url.username = guest.user;
    url.password = password;
    const options = {
      url: url.href,
      application_name: fixture.application(`talk${notify}`),
      statement_timeout: 1_500,
      notify,
      table: `talk_${notify}`,
    };
    const child = spawn(process.execPath, [FIXTURE, JSON.stringify(options), mark], {
      env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "trace" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    const [code] = await once(child, "close");
    expect(code, output.slice(-2_000)).toBe(0);
    // It did fail, in all the ways, and did talk about it.
    expect(Number(/(\d+) failures shown/.exec(output)?.[1])).toBeGreaterThan(50);
    for (const said of ["57014", "28P01", "23514", "42P01", "STORE_CLOSED", "seed", "talk_"])
      expect(output).toContain(said);
    const lines = output.split("\n").filter((line) => line.includes(mark) || line.includes(password));
    expect(lines).toEqual([]);
  },
);

const audit = titled("npm audit --omit=dev finds nothing", LONG ? "" : "asks the registry, FAULTS=long does");
test.skipIf(!LONG)(audit, () => {
  const report = execFileSync("npm", ["audit", "--omit=dev", "--json"], { cwd: ROOT, encoding: "utf8" });
  const { metadata }: { metadata: { vulnerabilities: { total: number } } } = JSON.parse(report);
  expect(metadata.vulnerabilities.total).toBe(0);
});
