/** Each action by clicks, with its effect in the database. */
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { reason } from "./browser.ts";
import { Stage } from "./stage.ts";

const stage = new Stage();

/** Chooses reactions in the table, and opens the dialog of an action. */
async function ask(page: Page, action: string, ...streams: string[]): Promise<void> {
  for (const stream of streams) await page.getByLabel(`Choose ${stream}`, { exact: true }).check();
  await page.getByRole("toolbar", { name: "Actions" }).getByRole("button", { name: action }).click();
}

/** Confirms what the dialog shows, and returns what it says was done. */
async function confirm(page: Page, button: RegExp): Promise<string> {
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: button }).click();
  const said = dialog.getByRole("status");
  await said.waitFor();
  const words = await said.textContent();
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await dialog.waitFor({ state: "detached" });
  return words ?? "";
}

/** Blocks the mailer at the event that it gets next. */
async function blockMailer(): Promise<void> {
  const [lease] = await stage.store.claim(1, 0, "worker-1", 60_000, "mail");
  if (!lease) throw new Error("The mailer was not claimed");
  await stage.store.block([{ ...lease, error: "SMTP 421: try again" }]);
}

describe.skipIf(reason !== "")(`actions in a browser${reason}`, () => {
  beforeAll(() => stage.open());
  afterAll(() => stage.close());
  afterEach(async () => {
    await stage.closeWindows();
    expect(stage.complaints()).toEqual([]);
  });

  test("a poison event is found and skipped by clicks alone, from the overview on", async () => {
    const { poison } = stage.broken;
    expect(await stage.subscription("mailer")).toMatchObject({ at: poison - 1, blocked: true, skipped: 0 });
    const { page } = await stage.look("/");
    await page
      .getByRole("region", { name: "Blocked reactions" })
      .getByRole("link", { name: "mailer" })
      .click();
    const drawer = page.getByRole("complementary", { name: "reaction" });
    await drawer.getByText("SMTP 550: no such mailbox").waitFor();
    await drawer.getByRole("link", { name: `#${poison}` }).click();
    await page.getByRole("complementary", { name: "event" }).getByText("carrier").waitFor();
    await page.keyboard.press("Escape");
    await drawer.getByRole("button", { name: "Skip event" }).click();
    const dialog = page.getByRole("dialog");
    const button = dialog.getByRole("button", { name: /^Skip event/ });
    expect(await button.isDisabled()).toBe(true);
    await dialog.getByLabel("Reason").fill("the mailbox was closed");
    await button.and(page.locator(":enabled")).waitFor();
    expect(await stage.subscription("mailer")).toMatchObject({ blocked: true, skipped: 0 });
    await confirm(page, /^Skip event/);
    expect(await stage.subscription("mailer")).toMatchObject({ at: poison, blocked: false, skipped: 1 });
    await drawer.getByText("the mailbox was closed").waitFor();

    await page.goto(`${stage.running.origin}/activity`);
    await page.getByRole("region", { name: "Skipped events" }).getByText("the mailbox was closed").waitFor();
    expect(stage.told.join("\n")).toContain("tester");
  });

  test("retry unblocks", async () => {
    await blockMailer();
    const { page } = await stage.look("/reactions?state=blocked");
    await ask(page, "Retry", "mailer");
    await confirm(page, /^Retry 1 reaction$/);
    expect(await stage.subscription("mailer")).toMatchObject({ blocked: false, error: null });
    await page.getByText("No reaction matches").waitFor();
  });

  test("reset sets back to the beginning", async () => {
    const { page } = await stage.look("/reactions");
    await ask(page, "Reset", "audit");
    await confirm(page, /^Reset 1 reaction$/);
    expect(await stage.subscription("audit")).toMatchObject({ at: -1 });
  });

  test("defer waits until the time that was typed", async () => {
    const { page } = await stage.look("/reactions");
    await ask(page, "Defer", "everything");
    const until = page.getByRole("dialog").getByLabel("Until");
    await until.fill("no time");
    await page.getByText("A time is needed").waitFor();
    await until.fill("2h");
    await confirm(page, /^Defer 1 reaction$/);
    const { deferred_at } = (await stage.subscription("everything")) ?? {};
    const minutes = (new Date(deferred_at).getTime() - Date.now()) / 60_000;
    expect(minutes).toBeGreaterThan(110);
    expect(minutes).toBeLessThan(125);
  });

  test("prioritize changes many at once, and says how many", async () => {
    const { page } = await stage.look("/reactions");
    await ask(page, "Prioritize", "everything", "audit");
    await page.getByRole("dialog").getByLabel("Priority").fill("42");
    expect(await confirm(page, /^Prioritize 2 reactions$/)).toMatch(/2/);
    expect(await stage.subscription("everything")).toMatchObject({ priority: 42 });
    expect(await stage.subscription("audit")).toMatchObject({ priority: 42 });
    expect(await stage.subscription("mailer")).toMatchObject({ priority: 10 });
  });

  test("all that a filter finds are chosen at once", async () => {
    const { page } = await stage.look("/reactions?lane=slow");
    await page.getByLabel("Choose report", { exact: true }).waitFor();
    await page.getByLabel("Choose all that are shown").check();
    await page.getByRole("toolbar", { name: "Actions" }).getByRole("button", { name: "Prioritize" }).click();
    await page.getByRole("dialog").getByLabel("Priority").fill("7");
    await confirm(page, /^Prioritize 1 reaction$/);
    expect(await stage.subscription("report")).toMatchObject({ priority: 7 });
  });

  test("release ends the lease of a worker that is gone", async () => {
    expect(await stage.subscription("report")).toMatchObject({ leased_by: "worker-2" });
    const { page } = await stage.look("/reactions");
    await ask(page, "Release lease", "report");
    await confirm(page, /^Release lease 1 reaction$/);
    expect(await stage.subscription("report")).toMatchObject({ leased_by: null });
  });

  test("nothing is done without the confirmation, and Escape leaves the dialog", async () => {
    const before = await stage.subscription("exports");
    const { page } = await stage.look("/reactions");
    await ask(page, "Reset", "exports");
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^Reset 1 reaction$/ })
      .waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await stage.subscription("exports")).toEqual(before);
  });

  test("without --write an action shows what it would do, and why it is not done", async () => {
    const reading = await stage.start({ write: false });
    try {
      const { page, close } = await stage.browser.look(reading, "/reactions");
      await ask(page, "Reset", "exports");
      const dialog = page.getByRole("dialog");
      await dialog.getByText("The console is read-only").waitFor();
      const button = dialog.getByRole("button", { name: /^Reset/ });
      await dialog.getByText("exports").first().waitFor();
      expect(await button.isDisabled()).toBe(true);
      await close();
    } finally {
      await reading.close();
    }
  });
});
