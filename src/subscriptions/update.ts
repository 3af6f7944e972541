/**
 * The statement of the operator verbs. It locks the matching subscriptions in order of their names, and then changes
 * them. Every verb that waits for row locks takes them in this order, so that no two can deadlock.
 *
 * Up to 20,000 subscriptions of a filter, or 5,000 names, are changed by one statement: all or none. More names take a
 * statement for each 5,000. More subscriptions of a filter, and those whose statement ran into statement_timeout, are
 * changed page by page. A page takes about half a second, so that no worker waits long for its rows. If a later
 * statement fails, the earlier changes stay: the verbs can be called again.
 */
import { StoreError } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { codeOf } from "../errors.ts";
import type { Conditions } from "../postgres/conditions.ts";
import { checkGiven, FUNCTION, type Rules } from "../values/rules.ts";
import { announcedPart, announcing, writeAnnounced } from "./announce.ts";
import { checkInput, filterConditions, namesConditions, namesOf, type StreamInput } from "./filter.ts";

/** Options to follow the progress of a verb that changes many subscriptions. */
export type ProgressOptions = {
  /** Called after each statement, with the number of subscriptions that have been changed so far. */
  readonly onProgress?: ((changed: number) => void) | undefined;
};

export const PROGRESS_RULES: Rules<ProgressOptions> = { onProgress: FUNCTION };

/** The most subscriptions that one statement changes. */
const ONE_STATEMENT = 20_000;
/** The most names in one statement. */
const NAMES = 5_000;
const FIRST_PAGE = 5_000;
const SMALLEST_PAGE = 20;
const PAGE_MS = 500;

/** Whether statement_timeout ended the statement. An operator's cancel has the same code, but comes earlier. */
function isTimeout({ connections }: Context, error: unknown, ms: number): boolean {
  const { statement_timeout: limit } = connections.config;
  return limit > 0 && ms >= 0.9 * limit && error instanceof StoreError && codeOf(error.cause) === "57014";
}

type Page = { readonly after: string | undefined; readonly limit: number };
/** `matched`: rows of the page. A trigger may have kept some of them from being changed. */
type Changed = { readonly count: number; readonly matched: number; readonly last: string };

/**
 * Changes all rows that match, or those of a page. The parameters are those of `where`; then, for a page, its `limit` and
 * `after`.
 */
async function update(
  context: Context,
  operation: string,
  where: Conditions,
  set: string,
  page?: Page,
): Promise<Changed> {
  const { streams } = context.names;
  const params = [
    ...where.params,
    ...(page ? [page.limit] : []),
    ...(page?.after === undefined ? [] : [page.after]),
  ];
  const from = where.params.length + 1;
  const behind =
    page?.after === undefined ? "" : `${where.where ? " and" : " where"} s.stream > $${from + 1}::text`;
  const limited = page ? ` limit $${from}::bigint` : "";
  // Without the range the join would read all subscriptions for each page: of 600,000 subscriptions, some 40 times.
  const inPage = page
    ? " and s.stream >= (select min(stream) from matching) and s.stream <= (select max(stream) from matching)"
    : "";
  const text = (announce: boolean, citus: boolean) => `with matching as materialized (
  select s.stream from ${streams} s${where.where}${behind} order by s.stream${limited} for update of s
), changed as (
  update ${streams} s set ${set} from matching m where s.stream = m.stream${inPage} returning 1
)${announce ? `, ${announcedPart(context, "exists (select 1 from changed)", citus)}` : ""}
select count(*)::int as count${page ? ", (select count(*) from matching) as matched, (select max(stream) from matching) as last" : ""}${announce ? ", (select count(*) from announced) as announced" : ""} from changed`;
  const [row] = await writeAnnounced(context, operation, (announce) => announcing(text, announce, params));
  return {
    count: Number(row?.count ?? 0),
    matched: Number(row?.matched ?? 0),
    last: String(row?.last ?? ""),
  };
}

async function isMany(
  { names, connections }: Context,
  operation: string,
  where: Conditions,
): Promise<boolean> {
  const limit = `$${where.params.length + 1}::bigint`;
  const [row] = await connections.read(operation, {
    text: `select count(*) as found from (select from ${names.streams} s${where.where} limit ${limit}) s`,
    params: [...where.params, ONE_STATEMENT + 1],
  });
  return Number(row?.found) > ONE_STATEMENT;
}

async function updatePages(
  context: Context,
  operation: string,
  where: Conditions,
  set: string,
  onProgress: (changed: number) => unknown,
): Promise<number> {
  let changed = 0;
  let page: Page = { after: undefined, limit: FIRST_PAGE };
  for (;;) {
    const start = performance.now();
    const took = () => performance.now() - start;
    let done: Changed;
    try {
      done = await update(context, operation, where, set, page);
    } catch (error) {
      if (page.limit <= SMALLEST_PAGE || !isTimeout(context, error, took())) throw error;
      page = { ...page, limit: Math.max(SMALLEST_PAGE, page.limit >> 2) };
      continue;
    }
    const limit = Math.round(page.limit * Math.max(0.25, Math.min(2, PAGE_MS / Math.max(1, took()))));
    const full = done.matched >= page.limit;
    page = { after: done.last, limit: Math.max(SMALLEST_PAGE, Math.min(ONE_STATEMENT, limit)) };
    changed += done.count;
    await onProgress(changed);
    if (!full) return changed;
  }
}

/**
 * Applies `set` to the rows that match, and returns how many were changed. The parameters are those of `where`. The verbs of
 * operators may make work claimable without an event, so listeners are notified.
 *
 * @param many Whether more may match than one statement should change. Left out: they are counted.
 */
export async function updateStreams(
  context: Context,
  operation: string,
  where: Conditions,
  set: string,
  { onProgress = () => {}, many }: ProgressOptions & { readonly many?: boolean } = {},
): Promise<number> {
  if (many ?? (await isMany(context, operation, where)))
    return updatePages(context, operation, where, set, onProgress);
  const start = performance.now();
  let count: number;
  try {
    count = (await update(context, operation, where, set)).count;
  } catch (error) {
    if (!isTimeout(context, error, performance.now() - start)) throw error;
    return updatePages(context, operation, where, set, onProgress);
  }
  await onProgress(count);
  return count;
}

/**
 * Like {@link updateStreams}, for names or a filter. `setOf` may add conditions and parameters.
 *
 * @throws ValidationError if the input is wrong.
 */
export async function updateInput(
  context: Context,
  verb: string,
  input: StreamInput,
  setOf: (where: Conditions) => string,
  options: ProgressOptions = {},
): Promise<number> {
  checkGiven(verb, options, PROGRESS_RULES);
  checkInput(verb, input);
  const { onProgress = () => {} } = options;
  if (!Array.isArray(input)) {
    const where = filterConditions(verb, input);
    return updateStreams(context, verb, where, setOf(where), { onProgress });
  }
  const names = namesOf(verb, input);
  let changed = 0;
  for (let from = 0; from < names.length; from += NAMES) {
    const before = changed;
    const where = namesConditions(names.slice(from, from + NAMES));
    const onPart = (part: number) => onProgress(before + part);
    changed += await updateStreams(context, verb, where, setOf(where), { onProgress: onPart, many: false });
  }
  return changed;
}
