export type TableName = { readonly url: string; readonly schema: string; readonly table: string };

/** What act-pg and this store hash for the key of the append lock. */
export const lockText = ({ schema, table }: Pick<TableName, "schema" | "table">) => `"${schema}"."${table}"`;
