/**
 * `npm run screenshots [-- <name> …]`: pictures of each view, at both widths and in both themes, into docs/assets/console.
 * The log and a stream are those of the demo: this repository's history. The rest is the store that is broken on
 * purpose, with commits under way. It starts a PostgreSQL of its own.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { startPostgres } from "../../dev/postgres/index.ts";
import { buildPage } from "../../scripts/build-page.ts";
import { Admin } from "../../src/admin/index.ts";
import { startConsole } from "../../src/console/start.ts";
import { PostgresStore } from "../../src/index.ts";
import { breakStore, positionsOf } from "./broken-store.ts";
import { PageBrowser, reason } from "./browser.ts";
import { smallPng } from "./small-png.ts";

const ROOT = join(import.meta.dirname, "../..");
const TO = join(ROOT, "docs/assets/console");
const DEMO_COMMITS = "120";
const MOST_BYTES = 120_000;
/** The overview's plot has something to show after so many ms. */
const WARM_UP = 26_000;

type Shot = {
  readonly name: string;
  readonly path: string;
  /** A text that is there once the view is ready. */
  readonly shows: string;
  /** What is clicked, in order, by its name. */
  readonly clicks?: readonly string[];
};

if (reason !== "") throw new Error(`No picture can be taken${reason}`);
const only = process.argv.slice(2);

const server = await startPostgres({ prefer: "embedded" });
const { url } = server;
const sql = postgres(url, { max: 1, onnotice: () => {} });
await sql.unsafe("create schema shop").simple();
const store = new PostgresStore({ url, schema: "shop", notify: true });
await store.seed();
const { poison } = await breakStore(store, (skip) => new Admin(store).skip(skip));
await sql.unsafe(positionsOf("shop", 40)).simple();
const demo = spawnSync(
  process.execPath,
  ["--import", "./dev/source.ts", "examples/git/demo.ts", "--commits", DEMO_COMMITS],
  {
    cwd: ROOT,
    env: { ...process.env, DATABASE_URL: url },
    encoding: "utf8",
  },
);
if (demo.status !== 0) throw new Error(`The demo failed: ${demo.stderr}`);
const [hot] = await sql<{ stream: string; version: number }[]>`
  select stream, max(version) as version from act_demo.events where stream like 'file:src/%' group by stream
  order by 2 desc limit 1`;
if (!hot) throw new Error("The demo's log is empty");
await sql.unsafe("analyze").simple();

const pageFolder = mkdtempSync(join(tmpdir(), "act-drizzle-page-"));
await buildPage(pageFolder);
const browser = await PageBrowser.open(pageFolder);
const running = await startConsole({
  databases: [{ url, schema: "shop" }],
  ...{
    write: true,
    user: "ada",
    port: 0,
    page: browser.folder,
    app: join(import.meta.dirname, "gallery-app.ts"),
  },
});

/** Commits under way, so that the plots have something to show. */
const order = { id: 0 };
const commits = new Set<Promise<unknown>>();
const working = setInterval(() => {
  const wave = 3 + Math.round(3 * Math.sin(Date.now() / 2_500) + 2 * Math.random());
  for (let n = 0; n < wave; n++) {
    const commit = store.commit(
      `cart-${order.id++ % 9}`,
      [{ name: "ItemAdded", data: { sku: `sku-${n}` } }],
      {
        correlation: `cart-${order.id}`,
        causation: { action: { name: "addItem", stream: "cart", actor: { id: "7", name: "Ada" } } },
      },
    );
    commits.add(commit);
    void commit.finally(() => commits.delete(commit));
  }
}, 150);
async function stopWorking(): Promise<void> {
  clearInterval(working);
  await Promise.all(commits);
}

const shops = await storesOf();
const [shop, git] = [shops("shop"), shops("act_demo")];
const stream = encodeURIComponent(hot.stream);
const SHOTS: readonly Shot[] = [
  { name: "overview", path: `/?${shop}`, shows: "SMTP 550" },
  { name: "log", path: `/log?${git}&summary=1`, shows: "Busiest streams" },
  { name: "event", path: `/log?${shop}&live=off&stream=order-&event=${poison}`, shows: "Effects" },
  { name: "stream", path: `/stream?${git}&stream=${stream}&v=0&v=${hot.version}`, shows: "By whom" },
  { name: "state", path: `/stream?${shop}&stream=counter-1&v=4&v=12&at=9`, shows: "By whom" },
  { name: "trace", path: `/trace?${shop}&correlation=place-3`, shows: "Causes and effects" },
  { name: "loop", path: `/trace?${shop}&correlation=loop&scale=order`, shows: "A loop" },
  { name: "reactions", path: `/reactions?${shop}`, shows: "SMTP 550" },
  { name: "reaction", path: `/reactions?${shop}&reaction=mailer`, shows: "It waits for" },
  {
    name: "preview",
    path: `/reactions?${shop}&state=blocked`,
    shows: "SMTP 550",
    clicks: ["Choose mailer", "Retry"],
  },
  { name: "projections", path: `/projections?${shop}`, shows: "hot_files" },
  { name: "tenants", path: `/tenants?${shop}`, shows: "shown now" },
  { name: "activity", path: `/activity?${shop}`, shows: "the address was deleted" },
];

mkdirSync(TO, { recursive: true });
if (only.length === 0) {
  rmSync(TO, { recursive: true });
  mkdirSync(TO);
}
/** What an app's projections would have reached meanwhile, and something for the log of actions. */
async function settle(): Promise<void> {
  await sql.unsafe(`update shop.act_positions p set at = case
    when target = 'order-1' then l.id when target = 'order-2' then l.id - 40 when handlers = '{rebuilding}' then l.id * 62 / 100
    when target = '' then l.id / 2 else -1 end from (select max(id) as id from shop.events) l`);
  await page.evaluate(`(async () => {
    const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-act-console": "1" } }).then((answer) => answer.json());
    const store = decodeURIComponent(${JSON.stringify(shop.slice("store=".length))});
    await post("/api/reveal", { store, id: 1 });
    for (const action of [{ type: "prioritize", on: { streams: ["audit"] }, priority: 5 },
      { type: "defer", on: { streams: ["everything"] }, until: new Date(Date.now() + 1_800_000).toISOString() }]) {
      const { confirmation } = await post("/api/actions/preview", { store, action });
      await post("/api/actions/run", { confirmation });
    }
  })()`);
}

// One window stays open from the beginning: its plot has a history.
const { page, close } = await browser.look(running, `/?${shop}`);
if (only.length === 0 || only.includes("overview")) await new Promise((done) => setTimeout(done, WARM_UP));
let settled = false;
for (const { name, path, shows, clicks = [] } of SHOTS) {
  if (only.length > 0 && !only.includes(name)) continue;
  if (name !== "overview" && !settled) {
    await stopWorking();
    await settle();
    settled = true;
  }
  for (const width of [1280, 400]) {
    await page.setViewportSize({ width, height: width === 400 ? 800 : 820 });
    // The page is not loaded anew, as its own links do not load it anew.
    await page.evaluate(
      `history.pushState(null, "", ${JSON.stringify(path)}); dispatchEvent(new PopStateEvent("popstate"))`,
    );
    await page.getByText(shows).first().waitFor();
    for (const click of clicks) {
      const box = page.getByLabel(click, { exact: true });
      if ((await box.count()) > 0) await box.check();
      else await page.getByRole("button", { name: click }).first().click();
    }
    await page.waitForTimeout(900);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(150);
      const file = join(TO, `${name}-${width}-${colorScheme}.png`);
      const picture = smallPng(await page.screenshot());
      writeFileSync(file, picture);
      const size = picture.length;
      console.log(
        `${name}-${width}-${colorScheme}.png ${Math.round(size / 1_000)} kB${size > MOST_BYTES ? " TOO LARGE" : ""}`,
      );
    }
    if (clicks.length > 0) await page.keyboard.press("Escape");
  }
}

await close();
await browser.close();
rmSync(pageFolder, { recursive: true, force: true });
await running.close();
await stopWorking();
await store.dispose();
await sql.end();
await server.stop();
process.exit(0);

/** The parameter that chooses a store by its schema. */
async function storesOf(): Promise<(schema: string) => string> {
  const response = await fetch(running.url, { redirect: "manual" });
  const cookie = response.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const session: unknown = await (
    await fetch(`${running.origin}/api/session`, { headers: { cookie } })
  ).json();
  const { stores } = session as { stores: { id: string; schema: string }[] };
  return (schema) => {
    const found = stores.find((each) => each.schema === schema);
    if (!found) throw new Error(`The console does not find the store of schema ${schema}`);
    return `store=${encodeURIComponent(found.id)}`;
  };
}
