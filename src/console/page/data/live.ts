/** Server-sent events that reconnect by themselves. A page in the background closes its connection. */
import { useEffect, useRef } from "react";
import { type Query, toQuery } from "./client.ts";

type Handlers<Events> = {
  readonly [Name in keyof Events]?: (data: Events[Name], id: string) => void;
} & {
  /** The connection was opened, or opened again. */
  readonly onOpen?: () => void;
  /** It was lost. It is tried again. */
  readonly onLost?: () => void;
};

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 4_000;

type Source<Events> = {
  readonly path: string;
  readonly query: Query;
  readonly names: readonly (keyof Events & string)[];
  readonly handlers: () => Handlers<Events>;
  /** Where to go on from, for the query's `after`. */
  readonly position?: (() => number | undefined) | undefined;
};

/**
 * Browsers open six connections to a server of HTTP/1.1, all tabs together: a hidden tab gives its own back, and
 * opens it again when it is looked at.
 */
export function listen<Events>({ path, query, names, handlers, position }: Source<Events>): () => void {
  let source: EventSource | undefined;
  let timer: number | undefined;
  let pause = FIRST_PAUSE;

  const close = () => {
    clearTimeout(timer);
    timer = undefined;
    source?.close();
    source = undefined;
  };
  const open = () => {
    if (source || document.hidden) return;
    const after = position?.();
    source = new EventSource(`${path}${toQuery(after === undefined ? query : { ...query, after })}`);
    source.addEventListener("open", () => {
      pause = FIRST_PAUSE;
      handlers().onOpen?.();
    });
    // The browser's own retry gives up after an answer that is no event stream, so every retry is made here.
    source.addEventListener("error", () => {
      close();
      handlers().onLost?.();
      timer = window.setTimeout(() => {
        timer = undefined;
        open();
      }, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    });
    for (const name of names)
      source.addEventListener(name, (event: MessageEvent<string>) => {
        const handler = handlers()[name] as ((data: unknown, id: string) => void) | undefined;
        handler?.(JSON.parse(event.data), event.lastEventId);
      });
  };
  const look = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", look);
  open();
  return () => {
    document.removeEventListener("visibilitychange", look);
    close();
  };
}

/** {@link listen} while a component is there. While `query` is undefined, it does not listen. */
export function useLive<Events>(
  path: string,
  query: Query | undefined,
  names: readonly (keyof Events & string)[],
  handlers: Handlers<Events>,
  position?: () => number | undefined,
): void {
  const latest = useRef({ handlers, position, query, names });
  latest.current = { handlers, position, query, names };
  const key = query && toQuery(query);
  useEffect(() => {
    if (key === undefined) return;
    const { query, names } = latest.current;
    return listen<Events>({
      path,
      query: query ?? {},
      names,
      handlers: () => latest.current.handlers,
      position: () => latest.current.position?.(),
    });
  }, [path, key]);
}
