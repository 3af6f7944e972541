/** The page under way: the live tail, a large log, and a database that goes away. */
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { TcpProxy } from "../postgres/proxy.ts";
import { fill } from "./broken-store.ts";
import { reason } from "./browser.ts";
import { Stage } from "./stage.ts";

const stage = new Stage();
const EVENTS = 1_000_000;
const PER_SECOND = 1_000;
const SECONDS = 4;
/** ms for which the page may be busy at a stretch. Generous: tests share their machine with each other. */
const STALL = 1_000;

/** Measures for how long the page's thread was busy at a stretch, from now on. */
const watchThread = (page: Page) =>
  page.evaluate(
    "globalThis.longest = 0; new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration); }).observe({ type: 'longtask' })",
  );
const longestTask = (page: Page) => page.evaluate<number>("longest");

const meta = { correlation: "live", causation: {} };
const rows = (page: Page) => page.locator(".log-row");
/** Rows of events with this name. */
const named = (page: Page, name: string) => rows(page).filter({ hasText: name });
const storeOf = async (page: Page, schema: string): Promise<string> =>
  page.evaluate<string>(
    `fetch("/api/session").then((r) => r.json()).then(({ stores }) => encodeURIComponent(stores.find((s) => s.schema === ${JSON.stringify(schema)}).id))`,
  );

describe.skipIf(reason !== "")(`the page under way, in a browser${reason}`, () => {
  beforeAll(async () => {
    await stage.open();
    await stage.fixture.sql.unsafe("create schema large");
    const large = new PostgresStore({ ...stage.fixture.parts, schema: "large" });
    await large.seed();
    // Rows are written several times as fast without indexes, which seed() builds again.
    const indexes = await stage.fixture.sql`
      select indexrelid::regclass::text as name from pg_index
      where indrelid = 'large.events'::regclass and not indisprimary`;
    await stage.fixture.sql.unsafe(`drop index ${indexes.map(({ name }) => name).join(", ")}`);
    await stage.fixture.sql.unsafe(fill("large.events", EVENTS)).simple();
    await large.seed();
    await large.dispose();
    await stage.fixture.sql.unsafe("analyze large.events").simple();
  }, 300_000);
  afterAll(() => stage.close());
  afterEach(() => stage.closeWindows());

  test(`the live tail takes ${PER_SECOND} commits per second, and the page does not stall`, async () => {
    const { page } = await stage.look("/log");
    await rows(page).first().waitFor();
    await watchThread(page);
    let last = 0;
    const commits: Promise<unknown>[] = [];
    const begun = performance.now();
    while (performance.now() - begun < SECONDS * 1_000) {
      const due = ((performance.now() - begun) / 1_000) * PER_SECOND;
      while (commits.length < due) {
        const n = commits.length;
        const one = stage.store.commit(`live-${n % 100}`, [{ name: "Ticked", data: { n } }], meta);
        commits.push(one.then(([event]) => (last = Math.max(last, event?.id ?? 0))));
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    await Promise.all(commits);
    const reached = commits.length / ((performance.now() - begun) / 1_000);
    await expect.poll(() => rows(page).first().textContent()).toContain(last.toLocaleString("en-US"));
    const longest = await longestTask(page);
    console.log(
      `live tail: ${Math.round(reached)} commits/s, the page was busy for ${Math.round(longest)} ms at most`,
    );
    expect(reached).toBeGreaterThan(PER_SECOND / 2);
    expect(longest).toBeLessThan(STALL);
    expect(await rows(page).count()).toBeLessThan(100);
  });

  test("a paused tail stands still, and goes on where it was", async () => {
    const { page } = await stage.look("/log");
    await rows(page).first().waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    const before = await rows(page).first().textContent();
    await stage.store.commit("paused", [{ name: "WhilePaused", data: {} }], meta);
    await stage.store.commit("paused", [{ name: "WhilePaused", data: {} }], meta);
    expect(await rows(page).first().textContent()).toBe(before);
    await page.getByRole("button", { name: "Go live" }).click();
    await expect.poll(() => named(page, "WhilePaused").count()).toBe(2);
  });

  /** The log, scrolled away from its newest events. */
  async function readFurtherDown() {
    const { page } = await stage.look("/log");
    await rows(page).first().waitFor();
    const list = page.getByRole("region", { name: "Events" });
    await list.hover();
    await page.mouse.wheel(0, 600);
    await expect.poll(() => page.evaluate<number>("document.querySelector('.log-list').scrollTop")).toBe(600);
    return page;
  }

  test("who reads further down is told of new events, and not moved", async () => {
    const page = await readFurtherDown();
    await stage.store.commit("below", [{ name: "SeenLater", data: {} }], meta);
    await page.getByRole("button", { name: "1 new event" }).click();
    await named(page, "SeenLater").waitFor();
  });

  test("of events that the tail leaves out, whoever reads further down is told a bound", async () => {
    const page = await readFurtherDown();
    await stage.store.commit("before", [{ name: "Before", data: {} }], meta);
    await page.getByRole("button", { name: "1 new event", exact: true }).waitFor();
    const flood = Array.from({ length: 8_000 }, () => ({ name: "Flood", data: {} }));
    await stage.store.commit("flood", flood, meta);
    await page.getByRole("button", { name: "up to 8,001 new events" }).click();
    await named(page, "Flood").first().waitFor();
    expect(await page.getByRole("button", { name: "new event" }).count()).toBe(0);
  });

  test("a log of 1,000,000 events is scrolled, and any place of it is reached at once", async () => {
    const { page } = await stage.look("/");
    await page.goto(`${stage.running.origin}/log?store=${await storeOf(page, "large")}`);
    await rows(page).first().waitFor();
    await watchThread(page);
    const list = page.getByRole("region", { name: "Events" });
    await list.hover();
    const top = async () => Number((await rows(page).first().getAttribute("data-id")) ?? Number.NaN);
    const wheel = (px: number) => async () => {
      await page.mouse.wheel(0, px);
      return top();
    };
    await expect.poll(wheel(3_000)).toBeLessThan(EVENTS - 5_000);
    const position = page.getByRole("slider", { name: "Position in the log" });
    await position.focus();
    await page.keyboard.press("End");
    await page.getByText("The log begins here").waitFor();
    await list.hover();
    await expect.poll(wheel(-3_000)).toBeGreaterThan(3_000);
    await position.focus();
    await page.keyboard.press("Home");
    await expect.poll(top).toBeGreaterThanOrEqual(EVENTS - 100);
    expect(await rows(page).count()).toBeLessThan(100);
    const longest = await longestTask(page);
    console.log(`scrolling 1,000,000 events: the page was busy for ${Math.round(longest)} ms at most`);
    expect(longest).toBeLessThan(STALL);
  });

  test("the database goes away and comes back: the page says so, and goes on by itself", async () => {
    const { host, port } = stage.fixture.parts;
    const proxy = await TcpProxy.before({ host, port });
    const through = await stage.start({
      databases: [
        {
          ...stage.fixture.parts,
          host: "127.0.0.1",
          port: proxy.port,
          connectionTimeoutMillis: 1_000,
          statement_timeout: 2_000,
        },
      ],
    });
    try {
      const { page, close } = await stage.browser.look(through, "/log");
      await rows(page).first().waitFor();
      proxy.mode = "refuse";
      proxy.cut();
      const banner = page.getByRole("alert").getByText("The database does not answer.");
      await banner.waitFor();
      await stage.store.commit("while-away", [{ name: "WhileAway", data: {} }], meta);
      proxy.mode = "forward";
      await banner.waitFor({ state: "detached" });
      await named(page, "WhileAway").waitFor();
      await close();
    } finally {
      await through.close();
    }
  });

  test("the console ends: the page says so, and keeps what it shows; another start has another token", async () => {
    const first = await stage.start();
    const { page, close } = await stage.browser.look(first, "/log");
    await rows(page).first().waitFor();
    await first.close();
    const banner = page.getByRole("alert").getByText("The console's server does not answer.");
    await banner.waitFor();
    expect(await rows(page).count()).toBeGreaterThan(5);
    const second = await stage.start({ port: first.port });
    await page.getByRole("alert").getByText("The console was started anew.").waitFor();
    await close();
    await second.close();
  });

  test("nothing was asked of anybody but the console, and nothing was refused", () => {
    expect(stage.complaints()).toEqual([]);
  });
});
