/**
 * Makes new ids follow the log's last one. Rows may have been inserted with explicit ids, by hand or by logical replication,
 * which copies rows without the position of the sequence.
 */
import type { Query } from "../postgres/index.ts";
import { onCoordinator } from "../schema/citus.ts";
import { idSequence } from "../schema/id-sequence.ts";
import type { Names } from "../schema/names.ts";
import { triggersQuery } from "./ids-drawn.ts";

/**
 * Reads the last id on the log's node, and moves the sequence. On Citus the sequence is on the coordinator. A sequence that was
 * restarted by hand, and from which no id was drawn since, tells no last value: then nextval() tells where it stands. It is
 * never moved back.
 */
const setSequence = ({ events }: Names, sequence: string, rest: string, before = ""): string =>
  `with ${before}log as materialized (select max(id) as last from ${events})
select case when pg_sequence_last_value(${sequence}) is null
  then setval(${sequence}::regclass, greatest(log.last + 1, nextval(${sequence}::regclass)), false) - 1
  else setval(${sequence}::regclass, greatest(log.last, pg_sequence_last_value(${sequence}))) end as id from log ${rest}`;

/** Makes the sequence continue after the log's highest id, when rows were inserted with explicit ids. $1 its oid */
export const moveSequence = (names: Names, sequence: number): Query => ({
  text: setSequence(names, "$1::oid", ""),
  citus: () => setSequence(names, "$1::oid", onCoordinator),
  params: [sequence],
});

/**
 * Makes the sequence continue after the log's highest id. If the sequence's last value is not below that id, nothing is
 * done, and no row is returned. Otherwise the row has the id after which the sequence now continues. The sequence may stand
 * in a gap below rows with explicit ids: then new ids would collide with none, and readers that have seen these rows would
 * never read the new events. The snapshot of this statement has to be taken under the append lock.
 */
const raised = (names: Names, sequence: string, join = "", before = "") =>
  setSequence(
    names,
    sequence,
    `${join} where log.last > coalesce(pg_sequence_last_value(${sequence}), 0)`,
    before,
  );

/** For appends. $1 oid of the sequence */
export const raiseSequence = (names: Names, sequence: number): Query => ({
  text: raised(names, "$1::oid"),
  citus: () => raised(names, "$1::oid", onCoordinator),
  params: [sequence],
  once: true,
  ignoresSettings: true,
});

/** What appends ask for once in a while: {@link raiseSequence}, and a row if the log has triggers that may set ids. */
export const compareIds = (names: Names, sequence: number): readonly Query[] => [
  raiseSequence(names, sequence),
  triggersQuery(names),
];

/**
 * For truncate(), which does not know the sequence. It goes before the DELETE, which may remove the rows with the highest ids.
 * A role without rights on the sequence leaves it, as appends do: an identity column needs none. On Citus this does nothing:
 * there a truncate moves the sequence once a unique index has refused a row.
 */
export const raiseOwnSequence = (names: Names): Query => ({
  text: raised(
    names,
    "own.oid",
    "join own on own.oid is not null",
    `own as materialized (select case when has_sequence_privilege(s.oid, 'usage, select') then s.oid end as oid
  from (select ${idSequence(names)} as oid) s), `,
  ),
  citus: () => "select null as id where false",
});
