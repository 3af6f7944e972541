/** Finds the events for a target, by the app's reactions. */
import type { PostgresStore } from "../store.ts";
import {
  type App,
  bySource,
  inSource,
  type Reaction,
  reactionsOf,
  resolve,
  type StoredEvent,
} from "./reactions.ts";

const PAGE = 100;

/** The targets of an event. */
export function targetsOf(app: App, event: StoredEvent): string[] {
  const targets = reactionsOf(app)
    .filter((reaction) => reaction.event === event.name)
    .map((reaction) => resolve(reaction, event))
    .filter((to) => to !== undefined && inSource(to.source, event.stream))
    .flatMap((to) => (to ? [to.target] : []));
  return [...new Set(targets)];
}

/**
 * The last event for a target, up to `id`; -1 if there is none. For reactions with static targets this is one look-up in an
 * index. If the event decides the target, this reads the target's source backward until an event resolves to the target. If no
 * reaction of the app can have this target, every event counts as one for it.
 *
 * @param goOn Called before each page but the first. If it throws, the search ends; else the search may read the whole log.
 */
export async function lastFor(
  app: App,
  store: PostgresStore,
  target: string,
  id: number,
  goOn: () => void,
): Promise<number> {
  const possible = reactionsOf(app).filter(
    ({ resolver }) => typeof resolver === "function" || resolver.target === target,
  );
  if (possible.length === 0) return id;
  const byName = Map.groupBy(possible, ({ event }) => event);
  const isFor = (event: StoredEvent) =>
    (byName.get(event.name) ?? []).some((reaction: Reaction) => {
      const to = resolve(reaction, event);
      return to?.target === target && inSource(to.source, event.stream);
    });
  const source = await sourceOf(store, target);
  const names = [...byName.keys()];
  for (let before = id + 1; ; ) {
    const page: StoredEvent[] = [];
    await store.query((event) => void page.push(event), {
      ...bySource(source),
      names,
      before,
      backward: true,
      limit: PAGE,
    });
    const found = page.find(isFor);
    if (found) return found.id;
    const oldest = page.at(-1);
    if (!oldest || page.length < PAGE) return -1;
    before = oldest.id;
    goOn();
  }
}

async function sourceOf(store: PostgresStore, target: string): Promise<string | undefined> {
  let source: string | undefined;
  await store.query_streams(
    (position) => {
      source = position.source;
    },
    { stream: target, stream_exact: true, limit: 1 },
  );
  return source;
}
