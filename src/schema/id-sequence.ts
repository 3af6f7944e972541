/**
 * Finds the sequence that ids are drawn from: the one in the default of column `id`, or else the one that the column
 * owns, as an identity column does. `pg_get_serial_sequence` finds owned sequences only, but the default of a log that was
 * copied or renamed may use another sequence. A column that was a serial may own two: ids come from that of the identity
 * (deptype i).
 */
import { literal, type Names } from "./names.ts";

/** An SQL expression: the sequence's oid. Null without the table, or if its ids come from elsewhere. */
export const idSequence = ({ events }: Names): string => idSequenceOf(literal(events));

/** Like {@link idSequence}, for a table whose name is the value of an SQL expression. */
export const idSequenceOf = (table: string): string => {
  const column = `a.attrelid = to_regclass(${table}) and a.attname = 'id'`;
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
      where ${column} order by d.deptype desc limit 1))`;
};
