/** Calls of the server's routes. The browser sends the session's cookie by itself. */
import type { Failure, FailureCode, Routes } from "../../api.ts";

type RouteOf<Method extends string> = Extract<keyof Routes, `${Method} ${string}`>;
type Value = string | number | boolean | readonly string[] | undefined;
export type Query = Readonly<Record<string, Value>>;

/** The server refused the request, or did not answer (`gone`). */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: FailureCode | "gone";
  constructor(code: FailureCode | "gone", message: string) {
    super(message);
    this.code = code;
  }
  /** The same request may succeed later. */
  get isTransient(): boolean {
    return ["gone", "unreachable", "deadline", "too-many"].includes(this.code);
  }
}

export function toQuery(query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === "" || value === false) continue;
    if (Array.isArray(value)) for (const each of value) params.append(name, each);
    else params.set(name, value === true ? "1" : String(value));
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

const isFailure = (body: unknown): body is Failure =>
  typeof body === "object" && body !== null && "error" in body && typeof body.error === "object";

async function call<Result>(path: string, init?: RequestInit): Promise<Result> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw new CallError("gone", "The console's server does not answer.");
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as Result;
  if (isFailure(body)) throw new CallError(body.error.code, body.error.message);
  throw new CallError("failed", `The server answered with status ${response.status}.`);
}

const pathOf = (route: string): string => route.slice(route.indexOf(" ") + 1);

/** GET of a route. `/:id` in its path is taken from `query.id`. */
export function get<Route extends RouteOf<"GET">>(
  route: Route,
  query: Query = {},
  signal?: AbortSignal,
): Promise<Routes[Route]> {
  const { id, ...rest } = query;
  const path = pathOf(route);
  const byId = path.includes("/:id");
  const to = byId ? path.replace(":id", encodeURIComponent(String(id))) : path;
  return call(`${to}${toQuery(byId ? rest : query)}`, { signal });
}

export function post<Route extends RouteOf<"POST">>(route: Route, body: object): Promise<Routes[Route]> {
  return call(pathOf(route), {
    method: "POST",
    headers: { "content-type": "application/json", "x-act-console": "1" },
    body: JSON.stringify(body),
  });
}
