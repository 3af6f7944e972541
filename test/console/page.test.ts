/** Each view of the page in a real browser, on a store that is broken on purpose. */
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { reason } from "./browser.ts";
import { Stage } from "./stage.ts";

const stage = new Stage();

/** Each view by its address, with a text that is there once its data is. */
const VIEWS: readonly (readonly [name: string, path: () => string, shows: string])[] = [
  ["overview", () => "/", "SMTP 550: no such mailbox"],
  ["log", () => "/log", "Incremented"],
  ["log with its summary", () => "/log?summary=1", "Busiest streams"],
  ["event", () => `/log?event=${stage.broken.poison}`, "carrier"],
  ["streams", () => "/stream", "counter-1"],
  ["stream", () => "/stream?stream=counter-1&v=4&v=12", "State at version 12"],
  ["truncated stream", () => "/stream?stream=ledger-1", "Truncated"],
  ["traces", () => "/trace", "place-6"],
  ["trace", () => "/trace?correlation=loop", "A loop"],
  ["reactions", () => "/reactions", "SMTP 550: no such mailbox"],
  ["reaction", () => "/reactions?reaction=mailer", "It waits for somebody to act"],
  ["projections", () => "/projections", "hot_files"],
  ["tenants", () => "/tenants", "shown now"],
  ["activity", () => "/activity", "the address was deleted"],
];

const shown = (page: Page, text: string) => page.getByText(text).filter({ visible: true }).first().waitFor();

async function violations(page: Page): Promise<string[]> {
  if (!(await page.evaluate<boolean>("'axe' in globalThis"))) await page.evaluate(axe.source);
  const found = await page.evaluate<{ id: string; nodes: { html: string; failureSummary?: string }[] }[]>(
    "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)",
  );
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

describe.skipIf(reason !== "")(`the page in a browser${reason}`, () => {
  beforeAll(() => stage.open());
  afterAll(() => stage.close());
  afterEach(() => stage.closeWindows());

  test.each(VIEWS)(
    "%s: shows its data, in both themes and widths, accessible to all",
    async (_, path, text) => {
      const { page } = await stage.look(path());
      await shown(page, text);
      for (const width of [1280, 400]) {
        await page.setViewportSize({ width, height: 800 });
        await shown(page, text);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          expect(await violations(page), `${width} px, ${colorScheme}`).toEqual([]);
        }
        // Nothing but tables in their own frames is wider than the window.
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      }
      expect(stage.complaints()).toEqual([]);
    },
  );

  test("a filter is in the address, and the address brings it back", async () => {
    const { page } = await stage.look("/log");
    await page.getByLabel("Stream", { exact: true }).fill("^order-");
    await page.getByLabel("Actor").fill("Grace");
    await page.waitForURL(/actor=Grace/);
    await expect.poll(() => page.locator(".log-row").count()).toBe(2);
    const other = await stage.look(new URL(page.url()).pathname + new URL(page.url()).search);
    await expect.poll(() => other.page.locator(".log-row").count()).toBe(2);
    await other.page.getByRole("button", { name: "Remove: By Grace" }).click();
    await expect.poll(() => other.page.locator(".log-row").count()).toBeGreaterThan(10);
  });

  test("an event has its data searched, its Dates marked, and its personal data masked until it is revealed", async () => {
    const { page } = await stage.look(`/log?event=${stage.broken.poison}`);
    const drawer = page.getByRole("complementary", { name: "event" });
    await drawer.getByText("Date", { exact: true }).waitFor();
    await drawer.getByRole("searchbox").fill("post");
    await drawer.getByText("1 match").waitFor();
    await drawer
      .getByRole("link", { name: /OrderPaid|#\d+/ })
      .first()
      .waitFor();

    await page.goto(`${stage.running.origin}/stream?stream=order-1`);
    await page
      .getByRole("row", { name: /OrderPlaced/ })
      .getByRole("link")
      .click();
    await drawer.getByText("Personal data").first().waitFor();
    expect(await page.getByText("customer1@example.com").count()).toBe(0);
    await drawer.getByRole("button", { name: "Reveal" }).click();
    await drawer.getByText("customer1@example.com").waitFor();
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" });
  });

  test("cause and effects lead through a trace", async () => {
    const { page } = await stage.look("/trace?correlation=place-1");
    await page.getByRole("link", { name: "StockReserved" }).click();
    const drawer = page.getByRole("complementary", { name: "event" });
    await drawer.getByText("OrderPaid").waitFor();
    await drawer.locator(".related-event").first().getByRole("link").click();
    await drawer.getByText("2 events").waitFor();
    expect(await drawer.locator(".related-event").count()).toBe(2);
  });

  test("a trace is drawn over time or in order of the log, and its words follow", async () => {
    const { page } = await stage.look("/trace?correlation=place-1");
    const across = page.getByLabel("Across");
    await page.getByText("A bar is the wait since the cause").waitFor();
    await page.getByRole("img", { name: /^Events by stream, over time\./ }).waitFor();
    await across.selectOption("order");
    await page.getByText("A bar leads from the cause to its effect, in order of the log").waitFor();
    await page.getByRole("columnheader", { name: "Distance from the cause, in events" }).waitFor();
    await page.getByRole("img", { name: /^Events by stream, in order of the log\./ }).waitFor();
    expect(await page.getByText("since the cause").count()).toBe(0);
  });

  test("a trace without a length of time is drawn in order of the log", async () => {
    const meta = { correlation: "single", causation: {} };
    await stage.store.commit("single", [{ name: "Alone", data: {} }], meta);
    const { page } = await stage.look("/trace?correlation=single");
    await page.getByText("A bar leads from the cause").waitFor();
    const across = page.getByLabel("Across");
    expect([await across.inputValue(), await across.isDisabled()]).toEqual(["order", true]);
  });

  test("two versions are compared, and the state is folded at any version", async () => {
    const { page } = await stage.look("/stream?stream=counter-1");
    await page.getByLabel("Compare version 4", { exact: true }).check();
    await page.getByLabel("Compare version 12", { exact: true }).check();
    const diff = page.getByRole("region", { name: "Difference" });
    await diff.getByText('"count": 15').waitFor();
    await diff.getByText('"count": 74').waitFor();
    const slider = page.getByRole("slider", { name: "Version" });
    await slider.focus();
    await page.keyboard.press("Home");
    await page.getByRole("heading", { name: "State at version 0" }).waitFor();
    await page
      .getByRole("region", { name: "the state", exact: true })
      .getByText("1", { exact: true })
      .waitFor();
  });

  test("reactions are sorted by their columns, which tell their order", async () => {
    const { page } = await stage.look("/reactions");
    const first = () => page.locator("tbody th").first().textContent();
    await shown(page, "everything");
    await page.getByRole("button", { name: "Priority" }).click();
    await page.getByRole("button", { name: "Priority" }).click();
    await page.waitForURL(/sort=priority/);
    const header = page.getByRole("columnheader", { name: "Priority" });
    await expect.poll(() => header.getAttribute("aria-sort")).toMatch(/ending$/);
    const highest = (await header.getAttribute("aria-sort")) === "descending";
    await expect.poll(first).toContain(highest ? "mailer" : "everything");
  });

  test("everything is reached by keyboard: the skip link, the menu, going to a stream, a row of the log", async () => {
    const { page } = await stage.look("/log");
    await shown(page, "Incremented");
    await page.keyboard.press("Tab");
    await expect.poll(() => page.evaluate("document.activeElement.textContent")).toBe("Skip to the view");
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("counter");
    await page.getByRole("option", { name: /counter-1/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "counter-1" }).waitFor();

    await page.goto(`${stage.running.origin}/log`);
    const rows = page.locator(".log-row");
    await rows.first().getByRole("link").first().focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("complementary", { name: "event" }).waitFor();
  });

  test('"Go to" with Enter visits the place that is chosen', async () => {
    const { page } = await stage.look("/");
    const field = page.getByRole("combobox", { name: /^Stream, event id/ });
    await page.getByRole("button", { name: "Go to" }).click();
    await field.fill(`#${stage.broken.poison}`);
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.searchParams.get("event") === `${stage.broken.poison}`);
    await page.getByRole("complementary", { name: "event" }).waitFor();
    await page.keyboard.press("Escape");

    await page.keyboard.press("Control+k");
    await field.fill("counter");
    await page.getByRole("option", { name: /counter-1/ }).waitFor();
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/reactions\?.*q=counter/);
    await field.waitFor({ state: "detached" });
  });

  test('"Go to" with Enter takes what is typed, not the answer to an earlier text', async () => {
    const { page } = await stage.look("/");
    await page.getByRole("button", { name: "Go to" }).click();
    const field = page.getByRole("combobox", { name: /^Stream, event id/ });
    await field.fill("counter-1");
    await page.getByRole("option", { name: /^Stream counter-1/ }).waitFor();
    const held = Promise.withResolvers<void>();
    await page.route("**/api/streams*", (route) => held.promise.then(() => route.continue()));
    await field.fill("order-");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/log\?.*stream=order-/);
    held.resolve();
    await page.unrouteAll({ behavior: "wait" });
  });

  test("the theme is switched, and stays", async () => {
    const { page } = await stage.look("/");
    const ground = () => page.evaluate<string>("getComputedStyle(document.documentElement).backgroundColor");
    const light = await ground();
    await page.getByRole("button", { name: /^Theme: as the system/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    expect(await ground()).not.toBe(light);
    await page.reload();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    expect(await ground()).not.toBe(light);
  });

  test("a second tab is live as well", async () => {
    const { page } = await stage.look("/");
    const other = await page.context().newPage();
    await other.goto(`${stage.running.origin}/log`);
    await shown(other, "Incremented");
    await stage.store.commit("tabs", [{ name: "SeenTwice", data: {} }], {
      correlation: "tabs",
      causation: {},
    });
    await shown(other, "SeenTwice");
    await page.getByRole("link", { name: "Log" }).first().click();
    await shown(page, "SeenTwice");
  });

  test("the printed address opens the page, and the token leaves the address", async () => {
    const context = await stage.browser.browser.newContext();
    const page = await context.newPage();
    await page.goto(stage.running.url);
    await page.waitForURL(`${stage.running.origin}/`);
    await shown(page, "SMTP 550: no such mailbox");
    await context.close();
  });

  test("a wrong token, or none, opens nothing", async () => {
    const context = await stage.browser.browser.newContext();
    const page = await context.newPage();
    const { origin, url } = stage.running;
    const wrong = await page.goto(url.replace(/token=.*/, "token=wrong"));
    expect(wrong?.status()).toBe(401);
    expect(await page.content()).not.toContain("<script");
    expect((await page.goto(`${origin}/log`))?.status()).toBe(401);
    expect((await page.goto(`${origin}/api/log`))?.status()).toBe(401);
    await context.close();
  });
});
