/** Who may talk to the console, and what a page of it may do. */
import { request } from "node:http";
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { Client, startOn, type TestConsole } from "./fixture.ts";

const fixture = useDatabase();
const started = async (): Promise<TestConsole> => startOn(fixture, await fixture.seeded());

type Reply = { readonly status: number; readonly text: string; readonly headers: Record<string, unknown> };

/** With any headers, also those that fetch() would not let a program set, such as Host. */
function ask(
  origin: string,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
    });
    sent.once("error", reject);
    sent.end();
  });
}

test("without the token there is nothing, and the answer says where it is", async () => {
  const { origin } = await started();
  const api = await ask(origin, "/api/session");
  expect(api.status).toBe(401);
  expect(JSON.parse(api.text)).toMatchObject({ error: { code: "no-token" } });
  const page = await ask(origin, "/log");
  expect(page.status).toBe(401);
  expect(page.text).toMatch(/Open the address that `act-drizzle console` has printed/);
});

test("a wrong token is refused, and so is a cookie that was made up", async () => {
  const { origin, port } = await started();
  expect((await ask(origin, "/?token=wrong")).status).toBe(401);
  const cookie = `act_drizzle_console_${port}=wrong`;
  expect((await ask(origin, "/api/session", { cookie })).status).toBe(401);
});

test("the token is exchanged for a cookie that no script and no other site gets, and leaves the address bar", async () => {
  const { origin, token, port } = await started();
  const { status, headers, text } = await ask(origin, `/log?name=Placed&token=${token}`);
  expect(status).toBe(200);
  expect(headers["set-cookie"]).toEqual([
    expect.stringMatching(
      new RegExp(`^act_drizzle_console_${port}=\\S+; Path=/; HttpOnly; SameSite=Strict$`),
    ),
  ]);
  expect(String(headers["set-cookie"])).not.toContain(token);
  expect(text).toContain('content="0;url=/log?name=Placed"');
  expect(text).not.toContain(token);
});

test("the token is not good for the API, whose addresses are kept in logs", async () => {
  const { origin, token } = await started();
  expect((await ask(origin, `/api/session?token=${token}`)).status).toBe(401);
});

test("an address that leads elsewhere is not followed", async () => {
  const { origin, token } = await started();
  const { text } = await ask(origin, `//evil.example/?token=${token}`);
  expect(text).toContain('content="0;url=/evil.example/"');
});

test("a ticket, which other users of the machine may have seen, is good once", async () => {
  const { origin, ...running } = await started();
  const ticket = running.once();
  expect((await ask(origin, ticket.slice(origin.length))).status).toBe(200);
  expect((await ask(origin, ticket.slice(origin.length))).status).toBe(401);
});

test("a name that resolves to this machine is refused, whatever it brings", async () => {
  const { origin, port, ...running } = await started();
  const { headers } = await Client.of({ ...running, origin });
  for (const host of [
    `evil.example:${port}`,
    "evil.example",
    `127.0.0.1:${port + 1}`,
    `127.0.0.1.evil.example:${port}`,
  ]) {
    const { status, text } = await ask(origin, "/api/session", { ...headers, host });
    expect([host, status, JSON.parse(text).error.code]).toEqual([host, 403, "cross-site"]);
  }
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`])
    expect((await ask(origin, "/api/session", { ...headers, host })).status).toBe(200);
});

test("requests of other sites are refused, and of other ports of this machine", async () => {
  const running = await started();
  const { origin } = running;
  const client = await Client.of(running);
  const from = async (headers: Record<string, string>) =>
    (await ask(origin, "/api/session", { ...client.headers, ...headers })).status;
  expect(await from({ "sec-fetch-site": "cross-site" })).toBe(403);
  expect(await from({ "sec-fetch-site": "same-site" })).toBe(403);
  expect(await from({ origin: "http://127.0.0.1:3000" })).toBe(403);
  expect(await from({ origin: "null" })).toBe(403);
  expect(await from({ "sec-fetch-site": "same-origin", origin })).toBe(200);
  expect(await from({ "sec-fetch-site": "none" })).toBe(200);
});

test("a link in another site opens the page, which asks again by itself; its frames and scripts get nothing", async () => {
  const { origin } = await started();
  const linked = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
  const { status, text } = await ask(origin, "/trace/c-1?a=1&b=%22", linked);
  expect(status).toBe(200);
  expect(text).toContain('content="0;url=/trace/c-1?a=1&amp;b=%22"');
  expect((await ask(origin, "/trace/c-1", { ...linked, "sec-fetch-mode": "no-cors" })).status).toBe(403);
});

test("what changes something needs headers that no form can send", async () => {
  const running = await started();
  const client = await Client.of(running);
  const action = { type: "unblock", on: { streams: ["mailer"] } };
  const bare = await client.post("/api/actions/preview", { action }, { "x-act-console": "" });
  expect([bare.status, bare.body.error?.code]).toEqual([403, "cross-site"]);
  const form = await client.post("/api/actions/preview", { action }, { "content-type": "text/plain" });
  expect([form.status, form.body.error?.code]).toEqual([403, "cross-site"]);
  const other = await client.post("/api/actions/preview", { action }, { origin: "http://localhost:3000" });
  expect([other.status, other.body.error?.code]).toEqual([403, "cross-site"]);
  expect((await client.post("/api/actions/preview", { action })).status).toBe(200);
});

test("a page may load the console's own files only, runs no script of its text, and is in no frame", async () => {
  const { origin, token } = await started();
  for (const path of [`/?token=${token}`, "/", "/api/session", "/api/nothing"]) {
    const { headers } = await ask(origin, path);
    const policy = String(headers["content-security-policy"]);
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; /);
    expect(policy).toContain("connect-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "x-frame-options": "DENY",
    });
  }
});

test("what the API answers is stored nowhere", async () => {
  const client = await Client.of(await started());
  const { headers } = await client.ask("/api/session");
  expect(headers.get("cache-control")).toBe("no-store");
});

test("a route that is not there, and an answer that is asked for wrongly, say so", async () => {
  const client = await Client.of(await started());
  expect((await client.ask("/api/nothing")).body.error?.code).toBe("not-found");
  for (const path of [
    "/api/log?limit=0",
    "/api/log?before=x",
    "/api/log?since=yesterday",
    "/api/log?stream=(?<=a)b",
    "/api/reactions?sort=nonsense",
    "/api/stream",
    "/api/event/x",
  ]) {
    const { status, body } = await client.ask(path);
    expect([path, status, body.error?.code]).toEqual([path, 400, "bad-request"]);
  }
  expect((await client.ask("/api/log?store=nobody.events")).status).toBe(404);
});

test("a body that is too large or no JSON is refused", async () => {
  const running = await started();
  const client = await Client.of(running);
  const large = await client.post("/api/actions/preview", { action: "x".repeat(1_100_000) });
  expect([large.status, large.body.error?.code]).toEqual([400, "bad-request"]);
  const response = await fetch(`${running.origin}/api/actions/run`, {
    method: "POST",
    headers: { ...client.headers, "content-type": "application/json", "x-act-console": "1" },
    body: "{",
  });
  expect(response.status).toBe(400);
});
