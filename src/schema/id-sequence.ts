/**
 * The sequence that ids are drawn from: the one that the column's default names, whoever owns it, else the
 * column's own, as an identity has it. `pg_get_serial_sequence` knows owned ones only: a log that was copied
 * or renamed may draw from another.
 */
import { literal, type Names } from "./names.ts";

/** An SQL expression: its oid, or null where there is no such table or its ids come from elsewhere. */
export const idSequence = ({ events }: Names): string => {
  const column = `a.attrelid = to_regclass(${literal(events)}) and a.attname = 'id'`;
  return `coalesce(
    (select s.oid from pg_attribute a
      join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
      join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
      join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
      where ${column} limit 1),
    (select s.oid from pg_attribute a
      join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
        and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      join pg_class s on s.oid = d.objid and s.relkind = 'S'
      where ${column} limit 1))`;
};
