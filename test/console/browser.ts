/** A browser that looks at the console's page, and what it saw: requests, errors, refusals of the policy. */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import type { RunningConsole } from "../../src/console/start.ts";
import { findBrowser, NO_BROWSER } from "../support/find-browser.ts";

const executablePath = findBrowser();

/** Why tests in a browser are left out; empty: they are not. It goes into their name. */
export const reason = executablePath ? "" : ` (${NO_BROWSER})`;

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
const TIMEOUT_MS = 12_000;

export type PageWindow = {
  readonly page: Page;
  readonly requests: string[];
  /** Uncaught errors, and what the browser refused. */
  readonly errors: string[];
  close(): Promise<void>;
};

export class PageBrowser {
  /** Of the built page. */
  readonly folder: string;
  readonly browser: Browser;

  private constructor(folder: string, browser: Browser) {
    this.folder = folder;
    this.browser = browser;
  }

  /** Starts the browser. */
  static async open(folder: string): Promise<PageBrowser> {
    return new PageBrowser(folder, await chromium.launch({ executablePath, args: QUIET }));
  }

  close(): Promise<void> {
    return this.browser.close();
  }

  /** A window of its own, with the cookie that the printed address gives, at `path`. */
  async look(
    { url, origin }: RunningConsole,
    path = "/",
    options: BrowserContextOptions = {},
  ): Promise<PageWindow> {
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
    context.setDefaultTimeout(TIMEOUT_MS);
    const page = await context.newPage();
    await context.request.get(url);
    await page.goto(`${origin}${path}`);
    return { page, requests, errors, close: () => context.close() };
  }
}
