/** The stores of a database: there may be one for each schema or table, such as for each tenant. */
import * as z from "zod";
import { CONTEXT, type Context } from "../context.ts";
import { namesOf } from "../schema/names.ts";
import { checkGiven, NAME, type Rules, required } from "../values/rules.ts";

/** The schema and the events table of a store. */
export type StoreName = { readonly schema: string; readonly table: string };

const MAX_STORES = 1_000;

/** Tables with the columns of a log that have their subscriptions and checkpoints beside them. */
const STORES = `select n.nspname as schema, c.relname as table
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_class s on s.relnamespace = n.oid and s.relname = c.relname || '_streams'
join pg_class k on k.relnamespace = n.oid and k.relname = c.relname || '_correlated'
where c.relkind in ('r', 'p') and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
  and (select count(*) from pg_attribute a where a.attrelid = c.oid and not a.attisdropped
    and a.attname in ('id', 'name', 'data', 'stream', 'version', 'created', 'meta')) = 7
order by n.nspname, c.relname limit ${MAX_STORES}`;

const row = z.object({ schema: z.string(), table: z.string() });

/** Those that the role may read, in order of their names, at most 1,000. */
export async function stores({ connections }: Context): Promise<StoreName[]> {
  return z.array(row).parse(await connections.read("admin", { text: STORES }));
}

const RULES: Rules<StoreName> = { schema: required(NAME), table: required(NAME) };

/** Stands for another store of the same database, on the same connections: its {@link CONTEXT} is that store's. */
export function storeOn(context: Context, name: StoreName): object {
  checkGiven("on", name, RULES);
  const { schema, table } = name;
  return { [CONTEXT]: { ...context, names: namesOf(schema, table) } satisfies Context };
}
