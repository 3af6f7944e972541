/** What an event is connected to: its cause, its effects, and its neighbours in the stream. */
import * as z from "zod";
import type { Context } from "../context.ts";
import type { Names } from "../schema/names.ts";
import { checkArgument, ID, TEXT } from "../values/rules.ts";
import { checkObject, toInt } from "../values/validate.ts";
import { epochMs } from "./bounded.ts";
import type { EventView } from "./events.ts";
import { type EventRef, eventRef } from "./next-events.ts";

/** The events that one event is connected to. */
export type Relations = {
  /** The event whose reaction committed this one. Undefined also if the log does not hold it any more. */
  readonly cause: EventRef | undefined;
  /** What reactions committed because of it, in order of id, at most 100. */
  readonly effects: readonly EventRef[];
  /** There are more than 100 effects, or not all events of the correlation were read. */
  readonly effectsCut: boolean;
  readonly previous: EventRef | undefined;
  readonly next: EventRef | undefined;
};

const EFFECTS = 100;
/** Events of a correlation that are looked at. */
const SCAN_LIMIT = 5_000;

const row = eventRef.extend({
  relation: z.enum(["cause", "effect", "previous", "next"]),
  looked: z.coerce.number(),
});

/** $1 id, $2 stream, $3 version, $4 correlation, $5 id of the cause, or null */
export function relationsText({ events: log }: Names): string {
  const of = (relation: string, from: string) =>
    `(select '${relation}' as relation, e.id, e.stream, e.version, e.name, ${epochMs("e.created")} as created ${from})`;
  return `with found as materialized (
  select e.id from ${log} e where (e.meta ->> 'correlation') = any(array[$4::text])
  order by e.meta ->> 'correlation' limit ${SCAN_LIMIT + 1}
)
select r.*, (select count(*) from found) as looked from (
${of("previous", `from ${log} e where e.stream = $2::text and e.version < $3::int order by e.version desc limit 1`)}
union all ${of("next", `from ${log} e where e.stream = $2::text and e.version > $3::int order by e.version limit 1`)}
union all ${of("cause", `from ${log} e where e.id = $5::bigint`)}
union all ${of(
    "effect",
    `from found f cross join lateral (
    select * from ${log} e where e.id = f.id and f.id > $1::bigint and e.meta #>> '{causation,event,id}' = $1::bigint::text
    limit 1) e order by e.id limit ${EFFECTS + 1}`,
  )}) r`;
}

function checkEvent(event: EventView): void {
  checkObject("relations", "event", event);
  checkArgument("relations", "event.id", event.id, ID);
  checkArgument("relations", "event.stream", event.stream, TEXT);
  checkArgument("relations", "event.version", event.version, ID);
  checkArgument("relations", "event.correlation", event.correlation, TEXT);
  if (event.cause !== undefined) checkArgument("relations", "event.cause.id", event.cause?.id, ID);
}

export async function relations({ names, connections }: Context, event: EventView): Promise<Relations> {
  checkEvent(event);
  const { id, stream, version, correlation, cause } = event;
  const rows = z
    .array(row)
    .parse(
      await connections.read("admin", {
        text: relationsText(names),
        params: [id, stream, toInt(version), correlation, cause?.id ?? null],
      }),
    )
    .map(({ relation, looked, ...ref }) => ({ relation, looked, ref }));
  const one = (wanted: string) => rows.find(({ relation }) => relation === wanted)?.ref;
  const effects = rows.filter(({ relation }) => relation === "effect").map(({ ref }) => ref);
  return {
    cause: one("cause"),
    effects: effects.slice(0, EFFECTS),
    effectsCut: effects.length > EFFECTS || (rows[0]?.looked ?? 0) > SCAN_LIMIT,
    previous: one("previous"),
    next: one("next"),
  };
}
