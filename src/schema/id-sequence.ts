/**
 * Finds the sequence that ids are drawn from. An identity column draws from its internal sequence, and another column
 * from the one in its default. A sequence that the column merely owns may be left over: a serial that became an identity
 * keeps its old one, and so does a column whose default became a function. So an owned sequence counts only if the column has
 * no default: then a trigger may draw from it. `pg_get_serial_sequence` would return any owned one.
 */
import { literal, type Names } from "./names.ts";

/** An SQL expression: the sequence's oid. Null without the table, or if its ids come from elsewhere. */
export const idSequence = ({ events }: Names): string => idSequenceOf(literal(events));

/** The sequences that depend on column `c` as `type` says: `i` is the one of an identity, `a` one that the column owns. */
const belonging = (type: "a" | "i"): string => `(select s.oid from pg_depend d
      join pg_class s on s.oid = d.objid and s.relkind = 'S'
      where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
        and d.refobjid = c.attrelid and d.refobjsubid = c.attnum and d.deptype = '${type}' limit 1)`;

/** Like {@link idSequence}, for a table whose name is the value of an SQL expression. */
export const idSequenceOf = (table: string): string => `(select case
    when c.attidentity <> '' then ${belonging("i")}
    when c.atthasdef then (select s.oid from pg_attrdef f
      join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
      join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
      where f.adrelid = c.attrelid and f.adnum = c.attnum limit 1)
    else ${belonging("a")} end
  from pg_attribute c where c.attrelid = to_regclass(${table}) and c.attname = 'id')`;
