/** Reads the reactions of an app from its registry: events, resolvers, targets. */
import { is_literal_source, type Store } from "@rotorsoft/act";
import { isRecord } from "../values/json-dates.ts";
import { badInput } from "./errors.ts";

/** An app of `act()…build()`. */
export type App = {
  readonly registry: { readonly events: object };
  readonly lanes: readonly { readonly name: string }[];
};

/** An event as the store returns it. */
export type StoredEvent = Parameters<Parameters<Store["query"]>[0]>[0];

export type Target = {
  readonly target: string;
  readonly source?: string | undefined;
  readonly priority?: number | undefined;
  readonly lane?: string | undefined;
};

export type Reaction = {
  /** The name of the event. */
  readonly event: string;
  /** A target for every event, or one that the event decides. */
  readonly resolver: Target | ((event: StoredEvent) => Target | undefined);
};

const isTarget = (value: unknown): value is Target => isRecord(value) && typeof value.target === "string";
const isResolver = (value: unknown): value is (event: StoredEvent) => Target | undefined =>
  typeof value === "function";

const isApp = (value: unknown): value is App =>
  isRecord(value) && isRecord(value.registry) && isRecord(value.registry.events);

/** The reactions of an app, those of its projections among them. */
export function reactionsOf(app: App): Reaction[] {
  return Object.entries(app.registry.events).flatMap(([event, register]: [string, unknown]) => {
    if (!isRecord(register) || !(register.reactions instanceof Map)) return [];
    const reactions: unknown[] = [...register.reactions.values()];
    return reactions.flatMap((reaction) => {
      const resolver: unknown = isRecord(reaction) ? reaction.resolver : undefined;
      return isTarget(resolver) || isResolver(resolver) ? [{ event, resolver }] : [];
    });
  });
}

/**
 * The names of the events that a target may get: those of reactions with this static target, and those of reactions whose
 * event decides the target, because it may be this one. Undefined if there are none: the app does not know the target.
 *
 * @throws ProjectionError if `app` is no app.
 */
export function namesForTarget(app: App, target: string): string[] | undefined {
  if (!isApp(app)) throw badInput("namesForTarget: app must be what act()…build() returns.");
  const names = new Set(
    reactionsOf(app)
      .filter(({ resolver }) => typeof resolver === "function" || resolver.target === target)
      .map(({ event }) => event),
  );
  return names.size === 0 ? undefined : [...names];
}

/** The target of an event by one reaction. */
export function resolve({ resolver }: Reaction, event: StoredEvent): Target | undefined {
  if (typeof resolver !== "function") return resolver;
  const resolved = resolver(event);
  return isTarget(resolved) ? resolved : undefined;
}

const patterns = new Map<string, RegExp>();
/** Sources that are patterns are few. */
const MAX_PATTERNS = 100;

/** Whether a target with this source gets events of this stream: the rule of Act's correlation. */
export function inSource(source: string | undefined, stream: string): boolean {
  if (source === undefined || source === stream) return true;
  if (is_literal_source(source)) return false;
  let pattern = patterns.get(source);
  if (!pattern) {
    if (patterns.size >= MAX_PATTERNS) patterns.clear();
    pattern = new RegExp(source);
    patterns.set(source, pattern);
  }
  return pattern.test(stream);
}

/** The part of a query that limits it to a source. */
export const bySource = (source: string | undefined) =>
  source === undefined ? {} : { stream: source, stream_exact: is_literal_source(source) };
