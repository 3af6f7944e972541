/** Events of one stream by their versions, and the snapshot that a state at a version is folded from. */
import * as z from "zod";
import type { Context } from "../context.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { checkArgument, checkGiven, ID, LIMIT, NAME, type Rules, required } from "../values/rules.ts";
import { toInt } from "../values/validate.ts";
import { type EventView, VIEW_COLUMNS, viewsOf } from "./events.ts";

/** Which versions of a stream to list. */
export type VersionsOptions = {
  /** Inclusive. */
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
  /** Default 100. */
  readonly limit?: number | undefined;
};

const RULES: Rules<VersionsOptions> = { from: required(ID), to: required(ID), limit: LIMIT };

/** $1 the stream, $2 from, $3 to, $4 limit */
export const versionsText = ({ events: log }: Names): string => `select ${VIEW_COLUMNS} from (
  select ${eventColumns("e", { pii: true })} from ${log} e
  where e.stream = $1::text and e.version >= $2::int and e.version <= $3::int
  order by e.version limit $4::bigint) q order by q.version`;

/** With their data, in order of their version. */
export async function versions(
  context: Context,
  stream: string,
  options: VersionsOptions,
): Promise<EventView[]> {
  checkArgument("versions", "stream", stream, NAME);
  checkGiven("versions", options, RULES);
  const { from, to, limit = 100 } = options;
  const rows = await context.connections.read("admin", {
    text: versionsText(context.names),
    params: [stream, toInt(from), toInt(to), limit],
  });
  return viewsOf(context, rows, true);
}

/**
 * $1 the stream, $2 the version. As in a query of one stream, it orders by stream: ordered by id alone, the planner may
 * walk the snapshots of all streams.
 */
export const snapshotText = ({ events: log }: Names): string => `select e.version from ${log} e
where e.stream = any(array[$1::text]) and e.name = '__snapshot__' and e.version <= $2::int
order by e.stream using ~>~, e.id desc limit 1`;

const row = z.object({ version: z.number() });

/** The version of the newest snapshot at or before `version`. */
export async function snapshotAt(
  { names, connections }: Context,
  stream: string,
  version: number,
): Promise<number | undefined> {
  checkArgument("snapshotAt", "stream", stream, NAME);
  checkArgument("snapshotAt", "version", version, ID);
  const [found] = await connections.read("admin", {
    text: snapshotText(names),
    params: [stream, toInt(version)],
  });
  return found && row.parse(found).version;
}
