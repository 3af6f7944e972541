/** The grants of docs/guides/security.md, as they stand there. */
import { readFileSync } from "node:fs";

const DOCS = new URL("../../../docs/guides/security.md", import.meta.url);

/** The block of SQL with `grant` in the docs, for other names than its `app`, `events` and `act_app`. */
export function grantsFor({
  schema,
  table,
  role,
}: {
  readonly schema: string;
  readonly table: string;
  readonly role: string;
}): string {
  const block = [...readFileSync(DOCS, "utf8").matchAll(/```sql\n(.*?)```/gs)]
    .map(([, sql = ""]) => sql)
    .find((sql) => /^grant select/m.test(sql));
  if (!block) throw new Error("docs/guides/security.md has no block of grants");
  return block
    .replaceAll("act_app", role)
    .replaceAll(/\bapp\b/g, `"${schema}"`)
    .replaceAll(/\bevents(_streams|_correlated|_id_seq)?\b/g, (_, suffix = "") => `"${table}${suffix}"`);
}
