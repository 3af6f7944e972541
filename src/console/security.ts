/**
 * Checks who may talk to the console: only its own page, in a browser that was given the token of the printed URL.
 *
 * - A wrong `Host` is refused: a page of another name that resolves to this address (DNS rebinding) gets nothing.
 * - The token is exchanged for a cookie that scripts cannot read and that other sites' requests do not carry.
 * - Requests of other origins are refused by `Origin` and `Sec-Fetch-Site`, also those of other ports of this machine,
 *   which are the same site to a browser.
 * - A request that changes something also needs a header that no form can send.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Context, Next } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { ConsoleError, failureOf } from "./failures.ts";

/** What a page of the console may load: its own files, and nothing else. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
};

export type Access = {
  readonly token: string;
  /** Tokens for a single use, for addresses that other users of the machine may see. */
  readonly tickets: Set<string>;
  /** Set once the server listens. */
  port: number;
  /** Names that are accepted in `Host`, besides those of the loopback. */
  readonly hosts: readonly string[];
  /** The server listens on all addresses, so `Host` may be an IP address, but not an unknown name. */
  readonly anyAddress: boolean;
};

const digest = (text: string) => createHash("sha256").update(text).digest();
const same = (one: string, other: string) => timingSafeEqual(digest(one), digest(other));

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/i;

function isOwnHost({ port, hosts, anyAddress }: Access, header: string | undefined): boolean {
  const [, name = "", given] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(header ?? "") ?? [];
  if (Number(given ?? 80) !== port) return false;
  const known = [...LOOPBACK, ...hosts].some((host) => host.toLowerCase() === name.toLowerCase());
  return known || (anyAddress && ADDRESS.test(name));
}

const isApi = (c: Context) => c.req.path.startsWith("/api/");
const isNavigation = (c: Context) => c.req.method === "GET" && c.req.header("sec-fetch-mode") === "navigate";

/** An address of the console without the token, as a link in HTML. */
function addressWithoutToken(c: Context): string {
  const url = new URL(c.req.url);
  url.searchParams.delete("token");
  // A path that begins with two slashes would lead to another server.
  return `/${url.pathname.replace(/^\/+/, "")}${url.search}`.replaceAll("&", "&amp;").replaceAll('"', "%22");
}

/**
 * A page that loads `address` by itself. A redirect would not work: after a click in another site the browser counts
 * the redirected request as that site's, and leaves the cookie out.
 */
const onwards = (c: Context, address: string) =>
  c.html(
    `<!doctype html><meta charset="utf-8"><title>act-drizzle console</title><meta http-equiv="refresh" content="0;url=${address}">`,
  );

const WHERE_TO_GET_IT =
  "Open the address that `act-drizzle console` has printed in its terminal: it holds the token.";

/** Checks every request, and adds the headers to every response. */
export function guard(access: Access) {
  const session = randomBytes(24).toString("base64url");
  // Cookies are shared by all ports of a host, so each console has a cookie name of its own.
  const cookie = () => `act_drizzle_console_${access.port}`;

  const refuse = (c: Context, code: "cross-site" | "no-token", message: string) => {
    const { status, body } = failureOf(new ConsoleError(code, message));
    return isApi(c) ? c.json(body, status) : c.text(`${message}\n`, status);
  };

  const isCrossSite = (c: Context): boolean => {
    const from = c.req.header("sec-fetch-site");
    const origin = c.req.header("origin");
    if (origin !== undefined && origin !== `http://${c.req.header("host")}`) return true;
    return from !== undefined && from !== "same-origin" && from !== "none";
  };

  const check = async (c: Context, next: Next): Promise<Response | undefined> => {
    if (!isOwnHost(access, c.req.header("host")))
      return refuse(c, "cross-site", "This name is not the console's: use the address that it has printed.");
    const linked = isCrossSite(c);
    // A link from elsewhere may open the page, which then asks for the data itself.
    if (linked && (isApi(c) || !isNavigation(c)))
      return refuse(c, "cross-site", "Only the console's own page may ask for this.");
    const token = c.req.query("token");
    if (token !== undefined && !isApi(c)) {
      if (!same(token, access.token) && !access.tickets.delete(token))
        return refuse(c, "no-token", `The token is wrong. ${WHERE_TO_GET_IT}`);
      setCookie(c, cookie(), session, { httpOnly: true, sameSite: "Strict", path: "/" });
      return onwards(c, addressWithoutToken(c));
    }
    if (!same(getCookie(c, cookie()) ?? "", session))
      return linked ? onwards(c, addressWithoutToken(c)) : refuse(c, "no-token", WHERE_TO_GET_IT);
    if (c.req.method !== "GET" && c.req.method !== "HEAD") {
      const json = c.req.header("content-type")?.startsWith("application/json");
      if (!json || c.req.header("x-act-console") !== "1")
        return refuse(
          c,
          "cross-site",
          "The headers content-type: application/json and x-act-console: 1 are needed.",
        );
    }
    await next();
    return undefined;
  };

  return async (c: Context, next: Next): Promise<Response | undefined> => {
    const refused = await check(c, next);
    const response = refused ?? c.res;
    for (const [name, value] of Object.entries(HEADERS)) response.headers.set(name, value);
    if (refused || isApi(c)) response.headers.set("cache-control", "no-store");
    return refused;
  };
}
