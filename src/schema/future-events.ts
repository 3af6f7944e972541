/**
 * Warns once of events that are dated in the future. `created` never runs backward along ids, so one such event, from
 * an import or a clock that was wrong, gives its date to every later one.
 */
import type { Row, StoreConnections } from "../postgres/index.ts";
import { log } from "../values/log.ts";
import type { Names } from "./names.ts";

/** ms by which the clocks of a primary and its standbys may differ. */
const TOLERANCE_MS = 300_000;

/**
 * Columns `newest`, the date of the newest event, and `ahead`, its lead over the server's clock; in ms. Null without events.
 * They are numeric: behind a pooler a role's extra_float_digits could cut digits off a float8.
 */
export const futureColumns = ({ events }: Names): string => {
  const of = (value: string) =>
    `(select extract(epoch from ${value}) * 1000 from ${events} order by id desc limit 1)`;
  return `${of("created")} as newest, ${of("created - clock_timestamp()")} as ahead`;
};

/** The stores that have warned, or are checking now. */
const warned = new WeakSet<Names>();

/** `row` has the columns of {@link futureColumns}. */
export function warnOfFutureEvents(names: Names, row: Row | undefined): void {
  const { ahead, newest } = row ?? {};
  if (ahead === null || ahead === undefined || Number(ahead) < TOLERANCE_MS || warned.has(names)) return;
  warned.add(names);
  const date = new Date(Number(newest));
  const until = Number.isNaN(date.getTime()) ? "a time without end" : date.toISOString();
  log().warn(
    `[act-drizzle] "${names.schema}"."${names.table}": the newest event is dated ${until}, and every later event gets that date until then: docs/guides/reliability.md, "Events dated in the future"`,
  );
}

/** Called with `created` of each commit. It compares with this process's clock first, and only then asks the server. */
export function watchForFutureEvents(
  { names, connections }: { readonly names: Names; readonly connections: Pick<StoreConnections, "read"> },
  created: number,
): void {
  if (created - Date.now() < TOLERANCE_MS || warned.has(names)) return;
  warned.add(names);
  connections.read("commit", { text: `select ${futureColumns(names)}` }).then(
    ([row]) => {
      warned.delete(names);
      warnOfFutureEvents(names, row);
    },
    // The commit is stored; a later one checks again.
    () => warned.delete(names),
  );
}
