/** A browser that looks at the console's page, and what it saw: requests, errors, refusals of the policy. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { buildPage } from "../../scripts/build-page.ts";
import type { RunningConsole } from "../../src/console/start.ts";

const PLACES = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];
const executablePath = PLACES.find((path) => path !== undefined && existsSync(path));

/** Why tests in a browser are left out; empty: they are not. It goes into their name. */
export const reason = executablePath
  ? ""
  : " (left out: no Chromium; install the package chromium, or set CHROMIUM_PATH)";

/** Only the page talks to anybody: the browser itself does not look for updates. */
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** ms that the page may take for anything. */
const PATIENCE = 12_000;

export type Sight = {
  readonly page: Page;
  readonly requests: string[];
  /** Uncaught errors, and what the browser refused. */
  readonly errors: string[];
  close(): Promise<void>;
};

export class Eyes {
  readonly folder: string;
  readonly browser: Browser;

  private constructor(folder: string, browser: Browser) {
    this.folder = folder;
    this.browser = browser;
  }

  /** Builds the page, and starts the browser. */
  static async open(): Promise<Eyes> {
    const folder = await mkdtemp(join(tmpdir(), "act-drizzle-page-"));
    await buildPage(folder);
    return new Eyes(folder, await chromium.launch({ executablePath, args: QUIET }));
  }

  async close(): Promise<void> {
    await this.browser.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A window of its own that has opened the printed address, and then `path`. */
  async look(
    { url, origin }: RunningConsole,
    path = "/",
    options: BrowserContextOptions = {},
  ): Promise<Sight> {
    const context = await this.browser.newContext({
      viewport: { width: 1280, height: 800 },
      reducedMotion: "reduce",
      ...options,
    });
    const requests: string[] = [];
    const errors: string[] = [];
    context.on("request", (request) => requests.push(request.url()));
    context.on("weberror", (error) => errors.push(error.error().message));
    context.on("console", (message) => {
      // What is refused while a server is away is told by the browser as well; the page shows it.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
        errors.push(message.text());
    });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForURL(`${origin}/`);
    await page.goto(`${origin}${path}`);
    return { page, requests, errors, close: () => context.close() };
  }
}
