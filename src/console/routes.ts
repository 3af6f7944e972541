/** The routes of the API. Each reads its parameters, and answers what api.ts says. */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import * as z from "zod";
import { datePaths } from "../values/json-dates.ts";
import { actionSchema, type Confirmed, preview, run } from "./actions.ts";
import type { LogPage, PreviewRequest, RevealRequest, RunRequest, Session } from "./api.ts";
import type { Audit } from "./audit.ts";
import { Confirmations } from "./confirmations.ts";
import type { Databases, Opened } from "./databases.ts";
import { ConsoleError } from "./failures.ts";
import { foldedState, type State } from "./fold.ts";
import type { Live, Send } from "./live.ts";
import {
  body,
  flag,
  integer,
  limit,
  logFilter,
  oneOf,
  required,
  requiredInteger,
  text,
} from "./parameters.ts";
import { eventOf, reactionOf, sent, streamOf, tenantOf, traceOf, versionOf } from "./reads.ts";

export type Parts = {
  readonly databases: Databases;
  readonly live: Live;
  readonly audit: Audit;
  readonly version: string;
  readonly write: boolean;
  readonly pii: boolean;
  readonly states: readonly State[] | undefined;
  /** Ends live connections when the server is closed. */
  readonly closing: AbortSignal;
};

/** Live connections at the same time, of all pages. */
const LIVE_CONNECTIONS = 24;
const BODY = 1_000_000;
/** ms between two comments on a live connection, so that a dead one is noticed. */
const KEEP_ALIVE = 15_000;

const kinds = ["all", "stream", "pattern"] as const;
const states = ["all", "behind", "blocked", "leased", "deferred", "skipped"] as const;
const sorts = ["stream", "at", "priority", "lane", "source", "attempts"] as const;

export function routes(parts: Parts): Hono {
  const { databases, live, audit } = parts;
  const confirmations = new Confirmations<Confirmed>();
  const app = new Hono();
  app.use(
    bodyLimit({
      maxSize: BODY,
      onError: () => {
        throw new ConsoleError("bad-request", "The body is too large.");
      },
    }),
  );

  const look = (path: string, answer: (store: Opened, c: Context) => Promise<unknown>) =>
    app.get(path, async (c) => c.json(await answer(await databases.open(text(c, "store")), c)));

  app.get("/session", async (c) => {
    const { version, write, pii } = parts;
    const session: Session = {
      ...{ version, write, pii },
      user: audit.who,
      app: parts.states && { states: parts.states.map(({ name }) => name) },
      defaultStore: databases.default.id,
      stores: await databases.list(),
    };
    return c.json(session);
  });

  app.get("/tenants", async (c) => {
    const most = limit(c, 50, 200);
    const all = await databases.list();
    const after = all.findIndex(({ id }) => id === text(c, "after"));
    const page = all.slice(after + 1, after + 1 + most);
    const tenants = [];
    for (const { id } of page) tenants.push(await tenantOf(await databases.open(id)));
    const last = page.at(-1);
    return c.json({ tenants, next: last && last !== all.at(-1) ? last.id : undefined });
  });

  look("/overview", (store) => live.overview(store));
  look("/doctor", async ({ admin }) => {
    const found = await admin.doctor({ listen: false });
    // Read-only sessions are the console's own setting, and say nothing about the app's.
    return { at: new Date(), findings: found.filter(({ code }) => code !== "read-only") };
  });
  look("/storage", ({ admin }) => admin.storage());
  look("/names", ({ admin }) => admin.namesInUse());

  look("/log", async ({ admin }, c) => {
    const place = { before: integer(c, "before"), after: integer(c, "after"), limit: limit(c, 100, 500) };
    return sent(await admin.log({ ...logFilter(c), ...place })) as LogPage;
  });

  look("/streams", async ({ admin }, c) => {
    const most = limit(c, 20, 200);
    const found = await admin.streamNames({
      prefix: text(c, "prefix"),
      after: text(c, "after"),
      limit: most,
    });
    return { streams: found, next: found.length === most ? found.at(-1) : undefined };
  });

  app.get("/event/:id", async (c) => {
    const id = Number(c.req.param("id"));
    if (!Number.isSafeInteger(id))
      throw new ConsoleError("bad-request", "The id of an event is a whole number.");
    const { admin } = await databases.open(text(c, "store"));
    return c.json(await eventOf(admin, id));
  });

  look("/stream", ({ admin }, c) =>
    streamOf(admin, required(c, "stream"), {
      before: integer(c, "before"),
      limit: limit(c, 100, 500),
      payload: flag(c, "payload"),
    }),
  );
  look("/stream/version", ({ admin }, c) =>
    versionOf(admin, required(c, "stream"), requiredInteger(c, "version")),
  );
  look("/stream/state", ({ admin }, c) =>
    foldedState(admin, parts.states ?? [], required(c, "stream"), requiredInteger(c, "version")),
  );
  look("/trace", ({ admin }, c) => traceOf(admin, required(c, "correlation"), limit(c, 500, 2_000)));

  look("/reactions", async ({ admin }, c) => {
    const { subscriptions, count, next, searched } = await admin.subscriptions({
      state: oneOf(c, "state", states),
      lane: text(c, "lane"),
      kind: oneOf(c, "kind", kinds),
      contains: text(c, "q"),
      sort: oneOf(c, "sort", sorts),
      descending: flag(c, "desc"),
      limit: limit(c, 100, 500),
      after: text(c, "after"),
    });
    return { reactions: subscriptions, count, next, searched };
  });
  look("/reaction", ({ admin }, c) => reactionOf(admin, required(c, "stream")));
  look("/skipped", async ({ admin }, c) => ({ skipped: await admin.skipped({ limit: limit(c, 50, 500) }) }));

  look("/projections", async ({ admin, info }) => {
    const [found, { lastId }, stores] = await Promise.all([
      admin.projections(),
      admin.log({ limit: 1 }),
      databases.list(),
    ]);
    // Positions in another store's schema are ids of that store's log, not of this one.
    const others = stores.filter(
      ({ database, schema }) => database === info.database && schema !== info.schema,
    );
    const storeOf = (schema: string) => others.find((store) => store.schema === schema);
    const [tables, elsewhere] = [
      found.filter(({ schema }) => !storeOf(schema)),
      found.flatMap(({ schema, table }) => {
        const store = storeOf(schema);
        return store ? [{ schema, table, store: store.id }] : [];
      }),
    ];
    return {
      lastId,
      elsewhere,
      tables: tables.map(({ projections, ...table }) => ({
        ...table,
        projections: projections.map(({ rebuild, ...state }) => ({
          ...state,
          rebuilding: rebuild !== undefined,
          progress: rebuild && lastId ? Math.min(1, Math.max(0, rebuild.at / lastId)) : undefined,
        })),
      })),
    };
  });

  app.get("/audit", (c) => c.json({ entries: audit.entries }));
  acts(app, parts, confirmations);
  liveRoutes(app, parts);
  return app;
}

/** Reveals, previews and actions. Reveals and actions are recorded. */
function acts(
  app: Hono,
  { databases, audit, write, pii }: Parts,
  confirmations: Confirmations<Confirmed>,
): void {
  const store = z.string().optional();
  const reveal: z.ZodType<RevealRequest> = z.strictObject({ store, id: z.int() });
  const previewing: z.ZodType<PreviewRequest> = z.strictObject({ store, action: actionSchema });
  const running: z.ZodType<RunRequest> = z.strictObject({ confirmation: z.string() });

  app.post("/reveal", async (c) => {
    const { id, store: of } = await body(c, reveal);
    if (!pii) throw new ConsoleError("read-only", "The console was started with --no-pii.");
    const { admin, info } = await databases.open(of);
    const found = await admin.personal(id);
    if (!found) throw new ConsoleError("not-found", `The log does not hold event ${id}.`);
    audit.add({
      store: info.id,
      type: "reveal",
      what: `personal data of event ${id} revealed`,
      count: 1,
      outcome: "done",
    });
    return c.json({ pii: found.pii, dates: datePaths(found.pii) ?? [], encrypted: found.encrypted });
  });

  app.post("/actions/preview", async (c) => {
    const asked = await body(c, previewing);
    const opened = await databases.open(asked.store);
    return c.json(await preview(opened, asked.action, write ? confirmations : undefined));
  });

  app.post("/actions/run", async (c) => {
    if (!write)
      throw new ConsoleError(
        "read-only",
        "The console only reads: start it with --write to change subscriptions.",
      );
    const { confirmation } = await body(c, running);
    return c.json(await run(confirmations.take(confirmation), audit));
  });
}

/** Routes that send server-sent events until the page is gone. */
function liveRoutes(app: Hono, { databases, live, closing }: Parts): void {
  let open = 0;

  const serve = (
    c: Context,
    work: (send: Send<Record<string, unknown>>, signal: AbortSignal) => Promise<void>,
  ) => {
    if (open >= LIVE_CONNECTIONS)
      throw new ConsoleError(
        "too-many",
        `${LIVE_CONNECTIONS} live views are open: close one of the console's tabs.`,
      );
    open++;
    return streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const signal = AbortSignal.any([gone.signal, closing]);
      const alive = setInterval(() => void stream.write(":\n\n").catch(() => gone.abort()), KEEP_ALIVE);
      try {
        await stream.write("retry: 1000\n\n");
        await work(async (event, data, id) => {
          await stream.writeSSE({ event, data: JSON.stringify(data), ...(id !== undefined && { id }) });
        }, signal);
      } finally {
        clearInterval(alive);
        open--;
      }
    });
  };

  app.get("/live", async (c) => {
    const store = await databases.open(text(c, "store"));
    return serve(c, (send, signal) => live.overviews(store, send, signal));
  });

  app.get("/log/live", async (c) => {
    const store = await databases.open(text(c, "store"));
    const filter = logFilter(c);
    const last = Number(c.req.header("last-event-id") ?? Number.NaN);
    const after = Number.isSafeInteger(last) ? last : integer(c, "after");
    return serve(c, (send, signal) => live.tail(store, { filter, after }, send, signal));
  });
}
