/**
 * `node test/console/large-log.ts [--events 10000000] [--url <PostgreSQL>] [--keep]`: how long the console's requests take
 * on a large log, and how the page scrolls it. Without `--url` it starts a PostgreSQL of its own, of 6 GB at 10⁷ events.
 * `--keep` leaves the schema `large_log`, so that the next run need not fill it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import postgres from "postgres";
import { startPostgres } from "../../dev/postgres/index.ts";
import { buildPage } from "../../scripts/build-page.ts";
import { startConsole } from "../../src/console/start.ts";
import { PostgresStore } from "../../src/index.ts";
import { PageBrowser, reason } from "./browser.ts";

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "10000000" },
    subscriptions: { type: "string", default: "100000" },
    url: { type: "string" },
    keep: { type: "boolean", default: false },
    times: { type: "string", default: "7" },
  },
});
const events = Number(values.events);
const subscriptions = Number(values.subscriptions);
const times = Number(values.times);
const SCHEMA = "large_log";
const STREAMS = 10_000;
const PART = 500_000;

const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1] ?? Number.NaN;
const log = (line: string) => console.error(line);

async function fill(sql: postgres.Sql): Promise<void> {
  for (let from = 0; from < events; from += PART) {
    log(`${from.toLocaleString("en-US")} events`);
    await sql.unsafe(`
insert into ${SCHEMA}.events (stream, version, name, data, meta, created, dates)
select 'file-' || (g % ${STREAMS}), g / ${STREAMS}, case when g % 500 = 0 then 'FileDeleted' else 'FileChanged' end,
  jsonb_build_object('added', g % 97, 'removed', g % 31),
  jsonb_build_object('correlation', 'commit-' || (g / 10), 'causation', jsonb_build_object('action', jsonb_build_object(
    'name', 'change', 'stream', 'file-' || (g % ${STREAMS}), 'actor', jsonb_build_object('id', 'author-' || (g % 7), 'name', 'Author ' || (g % 7))))),
  now() - make_interval(secs => (${events} - g) * 0.1), '{}'
from generate_series(${from}, ${Math.min(from + PART, events) - 1}) g`);
  }
  // Every tenth is behind, and every thousandth of those is blocked.
  await sql.unsafe(`
insert into ${SCHEMA}.events_streams (stream, source, at, retry, priority, lane, correlated_at, blocked, error)
select 'reaction-' || lpad(g::text, 7, '0'), 'file-' || (g % ${STREAMS}), case when g % 10 = 0 then ${events} - 1000 - g else ${events} end,
  -1, 0, 'default', ${events}, g % 10000 = 0, case when g % 10000 = 0 then 'it failed' end
from generate_series(0, ${subscriptions - 1}) g`);
  await sql.unsafe(`vacuum analyze ${SCHEMA}.events`);
  await sql.unsafe(`vacuum analyze ${SCHEMA}.events_streams`);
}

const server = values.url
  ? { url: values.url, stop: async () => {} }
  : await startPostgres({ prefer: "embedded" });
const { url } = server;
const sql = postgres(url, { max: 1, onnotice: () => {} });
await sql.unsafe(`create schema if not exists ${SCHEMA}`);
const store = new PostgresStore({ url, schema: SCHEMA });
await store.seed();
await store.dispose();
const [found] = await sql.unsafe(`select coalesce(max(id), 0)::int as last from ${SCHEMA}.events`);
if (Number(found?.last) < events) await fill(sql);

const folder = await mkdtemp(join(tmpdir(), "act-drizzle-page-"));
await buildPage(folder);
const running = await startConsole({
  databases: [{ url, schema: SCHEMA }],
  tenants: [{ schema: SCHEMA, table: "events" }],
  ...{ write: true, user: "tester", port: 0, page: folder },
});

const answer = await fetch(running.url, { redirect: "manual" });
const cookie = answer.headers.getSetCookie()[0]?.split(";")[0] ?? "";
const middle = events >> 1;
/** A version of `file-77`, near its middle but at most 500. */
const version = Math.min(500, Math.floor(events / STREAMS / 2));
const hour = (events / 2) * 100;
const at = (ms: number) => encodeURIComponent(new Date(Date.now() - ms).toISOString());
const REQUESTS: readonly (readonly [what: string, path: string])[] = [
  ["overview", "overview"],
  ["doctor", "doctor"],
  ["table sizes", "storage"],
  ["log, newest", "log?limit=100"],
  ["log, in the middle", `log?limit=100&before=${middle}`],
  ["log, its beginning", "log?limit=100&before=101"],
  ["log of a stream", "log?limit=100&stream=file-77&exact=1"],
  ["log by the beginning of a stream's name", "log?limit=100&stream=%5Efile-77"],
  ["log, part of a stream's name", "log?limit=100&stream=ile-777"],
  ["log, part of a name that no stream has", "log?limit=100&stream=nowhere"],
  ["log of a rare name", "log?limit=100&name=FileDeleted"],
  ["log of an actor", "log?limit=100&actor=Author%203"],
  ["log of an actor who did nothing", "log?limit=100&actor=nobody"],
  ["log of a correlation", `log?limit=100&correlation=commit-${middle / 10}`],
  ["log of an hour in the middle", `log?limit=100&since=${at(hour)}&until=${at(hour - 3_600_000)}`],
  ["names in use", "names"],
  ["streams by prefix", "streams?prefix=file-9&limit=50"],
  ["event", `event/${middle}`],
  ["stream", "stream?stream=file-77&limit=100"],
  ["version of a stream", `stream/version?stream=file-77&version=${version}`],
  ["trace", `trace?correlation=commit-${middle / 10}`],
  ["reactions", "reactions?limit=100"],
  ["reactions that are behind", "reactions?limit=100&state=behind&sort=at"],
  ["reactions that are blocked", "reactions?limit=100&state=blocked"],
  ["reaction", "reaction?stream=reaction-0000010"],
  ["projections", "projections"],
  ["tenants", "tenants"],
];

console.log(`| request | median | longest |\n|---|---|---|`);
for (const [what, path] of REQUESTS) {
  const took: number[] = [];
  for (let n = 0; n < times; n++) {
    const start = performance.now();
    const response = await fetch(`${running.origin}/api/${path}`, { headers: { cookie } });
    await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    took.push(performance.now() - start);
  }
  took.sort((a, b) => a - b);
  const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  console.log(`| ${what} | ${ms(median(took))} | ${ms(took.at(-1) ?? 0)} |`);
}

/** Notes the time between frames, and tasks of more than 50 ms, from now on. */
const WATCH = `globalThis.frames = []; globalThis.longest = 0; let last = performance.now();
(function frame(now) { frames.push(now - last); last = now; requestAnimationFrame(frame); })(last);
new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration); }).observe({ type: "longtask" });`;

async function scroll(page: Page): Promise<void> {
  const rows = page.locator(".log-row");
  await page.goto(`${running.origin}/log`);
  await rows.first().waitFor();
  await page.evaluate(WATCH);
  await page.getByRole("region", { name: "Events" }).hover();
  const top = async () => Number(await rows.first().getAttribute("data-id"));
  const start = performance.now();
  for (let n = 0; n < 300; n++) await page.mouse.wheel(0, 900);
  const seconds = (performance.now() - start) / 1_000;
  const passed = events - (await top());
  const frames = (await page.evaluate<number[]>("frames")).sort((a, b) => a - b);
  const longest = await page.evaluate<number>("longest");
  console.log(
    `\nScrolled ${passed.toLocaleString("en-US")} events in ${seconds.toFixed(1)} s: a frame took ${Math.round(median(frames))} ms ` +
      `(99 %: ${Math.round(frames[Math.floor(frames.length * 0.99)] ?? 0)} ms), the page was busy for ${Math.round(longest)} ms at most, ` +
      `${await rows.count()} rows in the page`,
  );
  const position = page.getByRole("slider", { name: "Position in the log" });
  await position.focus();
  const jump = performance.now();
  await page.keyboard.press("End");
  await page.getByText("The log begins here").waitFor();
  console.log(
    `From there to the first event of ${events.toLocaleString("en-US")}: ${Math.round(performance.now() - jump)} ms`,
  );
}

if (reason === "") {
  const browser = await PageBrowser.open(folder);
  const { page } = await browser.look(running, "/");
  await scroll(page);
  await browser.close();
} else console.log(`\nThe page${reason}`);

await running.close();
await rm(folder, { recursive: true, force: true });
if (!values.keep) await sql.unsafe(`drop schema ${SCHEMA} cascade`);
await sql.end();
await server.stop();
