/** The operators' verbs, in two steps: a preview, then the action. */
import type { StreamFilter } from "@rotorsoft/act";
import * as z from "zod";
import { Admin, type Count, type Matching } from "../admin/index.ts";
import type { Action, ActionResult, Preview, Reaction } from "./api.ts";
import type { Audit } from "./audit.ts";
import { type Confirmations, EXPIRES } from "./confirmations.ts";
import type { Opened } from "./databases.ts";
import { ConsoleError } from "./failures.ts";
import { sent } from "./reads.ts";

const MAX_STREAMS = 1_000;
const SAMPLE = 20;
/** Subscriptions that a line of the record names. */
const NAMED = 5;
const MAX_TEXT = 1_000;

const text = z.string().min(1).max(MAX_TEXT);
const selection = z.union([
  z.strictObject({ streams: z.array(text).min(1).max(MAX_STREAMS) }),
  z.strictObject({
    filter: z.strictObject({
      stream: text.optional(),
      streamExact: z.boolean().optional(),
      source: text.optional(),
      sourceExact: z.boolean().optional(),
      lane: text.optional(),
      blocked: z.boolean().optional(),
    }),
  }),
]);

export const actionSchema: z.ZodType<Action> = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("unblock"), on: selection }),
  z.strictObject({ type: z.literal("reset"), on: selection }),
  z.strictObject({ type: z.literal("defer"), on: selection, until: z.iso.datetime({ offset: true }) }),
  z.strictObject({
    type: z.literal("prioritize"),
    on: selection,
    priority: z.int().min(-2_147_483_648).max(2_147_483_647),
  }),
  z.strictObject({
    type: z.literal("skip"),
    events: z
      .array(z.strictObject({ stream: text, event: z.int().min(0) }))
      .min(1)
      .max(100),
    reason: z.string().trim().min(1).max(MAX_TEXT),
  }),
  z.strictObject({ type: z.literal("release"), stream: text, holder: text }),
]);

type Selecting = Extract<Action, { readonly on: unknown }>;

/** Names, or a filter as the store's verbs take it. */
function inputOf({ on }: Selecting): string[] | StreamFilter {
  if ("streams" in on) return [...new Set(on.streams)];
  const { stream, streamExact, source, sourceExact, lane, blocked } = on.filter;
  return {
    ...(stream !== undefined && { stream, stream_exact: streamExact }),
    ...(source !== undefined && { source, source_exact: sourceExact }),
    ...(lane !== undefined && { lane }),
    ...(blocked !== undefined && { blocked }),
  };
}

const isSelecting = (action: Action): action is Selecting => "on" in action;

const counted = ({ count, exact }: Count, one: string, many: string) =>
  `${exact ? "" : "more than "}${count} ${count === 1 && exact ? one : many}`;
const subscriptions = (count: Count) => counted(count, "subscription", "subscriptions");

function described(
  action: Action,
  count: Count,
): { readonly description: string; readonly warnings: string[] } {
  const which = subscriptions(count);
  const one = count.count === 1 && count.exact;
  switch (action.type) {
    case "unblock":
      return {
        description: `${counted(count, "blocked subscription tries", "blocked subscriptions try")} the event again that ${one ? "it stands" : "they stand"} at.`,
        warnings: ["If the cause is not fixed, it blocks again."],
      };
    case "reset":
      return {
        description: `${which} ${one ? "goes" : "go"} back to the beginning of the log, and ${one ? "handles" : "handle"} every event again.`,
        warnings: ["Handlers that send, charge or call others do so again.", "There is no way back."],
      };
    case "defer":
      return {
        description:
          Date.parse(action.until) > Date.now()
            ? `${which} ${one ? "is" : "are"} not handled before ${action.until}.`
            : `${which} ${one ? "is" : "are"} handled at once: ${action.until} has passed.`,
        warnings: [],
      };
    case "prioritize":
      return {
        description: `${which} ${one ? "gets" : "get"} priority ${action.priority}. A higher one is claimed first; the default is 0.`,
        warnings: [],
      };
    case "skip":
      return {
        description: `${which} ${one ? "goes" : "go"} past the event that ${one ? "it stands" : "they stand"} at, and never ${one ? "handles" : "handle"} it.`,
        warnings: ["Who skipped it, when and why is recorded in the database."],
      };
    case "release":
      return {
        description: `The lease of ${JSON.stringify(action.stream)} that ${JSON.stringify(action.holder)} holds ends, and another worker takes it.`,
        warnings: ["If that worker still lives, the events that it has claimed are handled twice."],
      };
  }
}

const NONE: Matching = { count: { count: 0, exact: true }, first: [] };

/** The subscriptions that the action would change now. */
async function lookAt(
  admin: Admin,
  action: Action,
): Promise<{ readonly count: Count; readonly sample: Reaction[] }> {
  const sampleOf = async (streams: readonly string[]) =>
    streams.length === 0 ? [] : (await admin.subscriptions({ streams, limit: SAMPLE })).subscriptions;
  if (isSelecting(action)) {
    const { count, first } = await admin.matching(inputOf(action), { blocked: action.type === "unblock" });
    return { count, sample: sent(await sampleOf(first)) as Reaction[] };
  }
  const wanted = action.type === "skip" ? action.events : [{ stream: action.stream, event: undefined }];
  const streams = [...new Set(wanted.map(({ stream }) => stream))];
  const { subscriptions: found } = await admin.subscriptions({ streams, limit: streams.length });
  const would = found.filter(({ stream, blocked, next, leasedBy }) =>
    action.type === "skip"
      ? blocked && wanted.some((one) => one.stream === stream && one.event === next?.id)
      : leasedBy === action.holder,
  );
  const sample = sent(would.slice(0, SAMPLE)) as Reaction[];
  return { count: { ...NONE.count, count: would.length }, sample };
}

export type Confirmed = { readonly store: Opened; readonly action: Action; readonly count: Count };

/** Changes nothing. */
export async function preview(
  store: Opened,
  action: Action,
  confirmations: Confirmations<Confirmed> | undefined,
): Promise<Preview> {
  const { count, sample } = await lookAt(store.admin, action);
  const possible = count.count > 0;
  const { description, warnings } = described(action, count);
  return {
    action,
    confirmation: possible ? confirmations?.add({ store, action, count }) : undefined,
    expiresMs: EXPIRES,
    count,
    description: possible
      ? description
      : "Nothing would change: no subscription matches, or none is in the state that this action needs.",
    warnings: possible ? warnings : [],
    sample,
  };
}

type Refused = ActionResult["refused"];
type Outcome = { readonly count: number; readonly refused: Refused };

/** `onProgress` is called with the number of subscriptions that have been changed so far. */
async function apply(
  admin: Admin,
  action: Action,
  by: string,
  onProgress: (changed: number) => void,
): Promise<Outcome> {
  const all = (count: number): Outcome => ({ count, refused: [] });
  switch (action.type) {
    case "unblock":
      return all(await admin.unblock(inputOf(action), { onProgress }));
    case "reset":
      return all(await admin.reset(inputOf(action), { onProgress }));
    case "defer":
      return all(await admin.defer(inputOf(action), Date.parse(action.until), { onProgress }));
    case "prioritize": {
      const input = inputOf(action);
      if (!Array.isArray(input)) return all(await admin.prioritize(input, action.priority, { onProgress }));
      // The verb takes a filter only.
      let count = 0;
      for (const stream of input) {
        count += await admin.prioritize({ stream, stream_exact: true }, action.priority);
        onProgress(count);
      }
      return all(count);
    }
    case "skip": {
      const refused: { stream: string; message: string }[] = [];
      let count = 0;
      for (const { stream, event } of action.events) {
        try {
          await admin.skip({ stream, event, by, reason: action.reason });
          onProgress(++count);
        } catch (error) {
          if (!(error instanceof Error) || error.name !== "SkipError") throw error;
          refused.push({ stream, message: error.message });
        }
      }
      return { count, refused };
    }
    case "release": {
      const { stream, holder } = action;
      const released = await admin.release({ stream, holder });
      return released
        ? all(1)
        : { count: 0, refused: [{ stream, message: "That worker does not hold it any more." }] };
    }
  }
}

/** A description for the record of actions: names and numbers, no event's data. */
function whatOf(action: Action, count: number): string {
  const names = (streams: readonly string[]) =>
    `${streams.slice(0, NAMED).join(", ")}${streams.length > NAMED ? `, and ${streams.length - NAMED} more` : ""}`;
  const changed = subscriptions({ count, exact: true });
  switch (action.type) {
    case "skip":
      return `skip of ${names(action.events.map(({ stream, event }) => `event ${event} in ${stream}`))}: ${changed}`;
    case "release":
      return `release of ${action.stream} from ${action.holder}: ${changed}`;
    default: {
      const { on } = action;
      const which = "streams" in on ? names(on.streams) : `all that match ${JSON.stringify(on.filter)}`;
      const how =
        action.type === "defer"
          ? ` until ${action.until}`
          : action.type === "prioritize"
            ? ` to ${action.priority}`
            : "";
      return `${action.type}${how} of ${which}: ${changed}`;
    }
  }
}

/** @throws ConsoleError `changed` if a filter selects more than what was shown. */
async function checkUnchanged({ store, action, count }: Confirmed): Promise<void> {
  if (!isSelecting(action) || "streams" in action.on) return;
  const now = await store.admin.matching(inputOf(action), { blocked: action.type === "unblock" });
  if (now.count.count > count.count)
    throw new ConsoleError(
      "changed",
      `${subscriptions(now.count)} match now, and not ${count.count} as shown: look at the preview again. Nothing was done.`,
    );
}

/**
 * Runs the action that was shown, and records it, failed or not. If its filter now selects more than was shown, nothing
 * is run or recorded.
 */
export async function run(confirmed: Confirmed, audit: Audit): Promise<ActionResult> {
  const { store, action } = confirmed;
  const entry = (count: number, outcome: "done" | "failed" | "refused") =>
    audit.add({ store: store.info.id, type: action.type, what: whatOf(action, count), count, outcome });
  await checkUnchanged(confirmed);
  let outcome: Outcome;
  let changed = 0;
  const onProgress = (count: number) => {
    changed = count;
  };
  try {
    outcome = await store.writing((writing) => apply(new Admin(writing), action, audit.who, onProgress));
  } catch (error) {
    entry(changed, "failed");
    throw error;
  }
  const { count, refused } = outcome;
  const { description } = described(action, { count, exact: true });
  return {
    count,
    refused,
    description: count === 0 ? "Nothing was changed." : description,
    entry: entry(count, count === 0 ? "refused" : "done"),
  };
}
