/** A client whose way to the server is slow: its commits succeed, and nobody else waits for its bytes. */
import { expect, test } from "vitest";
import { useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { commitsDuring, percentile, slowest, timedCommits } from "./bystander.ts";
import { Client } from "./clients.ts";
import { uplink } from "./links.ts";

const fixture = useDatabase();
/** On top of twice the usual time of a commit, in ms: the machine is shared. */
const SLACK = 250;

type Line = {
  readonly what: string;
  readonly calls: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  /** It was fast until now: what was measured before is worth nothing. */
  readonly sudden?: boolean;
};

/** A store in another process, all of whose bytes take such a line, beside one that is near. */
async function apart({ bytesPerSecond, sudden }: Line) {
  const bystander = await fixture.seeded();
  const proxy = await TcpProxy.before(fixture.parts);
  const { table } = bystander.config;
  if (!sudden) proxy.shape = uplink(bytesPerSecond);
  const client = await Client.start({
    ...fixture.parts,
    host: "127.0.0.1",
    port: proxy.port,
    table,
    application_name: fixture.application(`${table}_far`),
  });
  for (let n = 0; n < 3; n++) await client.commit({ calls: 1, bytes: 10_000 });
  const usual = percentile(await timedCommits(bystander, 100), 0.99);
  proxy.shape = uplink(bytesPerSecond);
  return { bystander, client, usual };
}

const LINES: readonly Line[] = [
  { what: "commits of 10 KB", calls: scale(60, 400), bytes: 10_000, bytesPerSecond: 300_000 },
  {
    what: "commits of 200 KB",
    calls: scale(4, 60),
    bytes: 200_000,
    bytesPerSecond: 300_000,
    sudden: true,
  },
  {
    what: `event of ${scale(2, 15)} MB`,
    calls: 1,
    bytes: scale(2, 15) * 1_000_000,
    bytesPerSecond: 1_000_000,
  },
];

for (const line of LINES) {
  const { what, calls, bytes, bytesPerSecond, sudden } = line;
  const kind = `${sudden ? "that suddenly takes" : "of"} ${bytesPerSecond / 1_000} KB/s`;
  test(`${calls} ${what} at once, on a line ${kind}: all succeed, nobody waits for them`, {
    timeout: TIMEOUT,
  }, async () => {
    const { bystander, client, usual } = await apart(line);
    const start = performance.now();
    const committing = client.commit({ calls, bytes });
    const took = await commitsDuring(bystander, committing);
    const { settled } = await committing;
    const seconds = Math.round((performance.now() - start) / 100) / 10;
    const [longest, calm] = [Math.round(slowest(took)), Math.round(usual)];
    console.log(JSON.stringify({ usual: calm, longest, commits: took.length, settled, seconds }));
    expect.soft(settled).toEqual({ ok: calls });
    expect(longest).toBeLessThan(2 * usual + SLACK);
  });
}
