/**
 * The tests that need no server and take no long time. Whatever is not in this list runs in the project `server`; a test in it that asks
 * for a server fails, because there is none.
 */
const FILES: Readonly<Record<string, readonly string[]>> = {
  admin: ["pattern-search"],
  cli: ["format", "session"],
  console: ["page-data"],
  demo: ["domain"],
  dev: ["structure"],
  docs: ["docstrings"],
  events: [
    "appender",
    "batch-limits",
    "catch-up",
    "deadlines",
    "encode",
    "id-ranges",
    "in-doubt",
    "latest-ids",
    "notifier",
    "notify-payload",
    "paging",
    "queue",
    "raised",
    "recovery-results",
    "rows",
  ],
  examples: ["docs", "tables-types", "types"],
  input: ["options"],
  migrations: ["record", "steps"],
  options: ["refusals", "sources"],
  postgres: [
    "exchange",
    "one-server",
    "pooler",
    "protocol",
    "session",
    "timers",
    "transaction",
    "use-before",
  ],
  store: ["operations"],
  support: ["leaks"],
  values: ["arrays", "envelope", "numbers", "paths", "translations"],
};

export const UNIT = Object.entries(FILES).flatMap(([room, names]) =>
  names.map((name) => `test/${room}/${name}.test.ts`),
);
