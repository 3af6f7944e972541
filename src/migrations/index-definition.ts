/**
 * Compares definitions of indexes: a migration's statement with what pg_get_indexdef shows. act-pg 1.13.18 and later
 * have indexes of the store's names with other columns and conditions, and `drizzle-kit push` does not see such a
 * difference.
 */

/** Group 1 UNIQUE, 2 the access method, 3 columns and condition. */
const STATEMENT =
  /^create (unique )?index (?:concurrently )?(?:if not exists )?(?:"[^"]+"|\S+) on (?:only )?(?:\S+) using (\w+) (\(.*)$/is;

/** A cast to the type that the column or the literal has anyway. */
const CAST = /::(?:text|integer|bigint|character varying|name)\b/g;
/** Storage options such as `fillfactor`. They do not count as a difference, so that a user's choice stays. */
const STORAGE = / with \([a-z_]+=[^)]*\)/;

/**
 * A definition in one spelling: without names, quotes, parentheses, redundant casts and defaults, so that it is equal for
 * the same columns and condition. Undefined if the text does not define an index.
 */
export function canonicalIndex(definition: string): string | undefined {
  const [, unique = "", method = "", rest = ""] = STATEMENT.exec(definition.trim()) ?? [];
  if (!rest) return undefined;
  const body = rest
    // Keywords may have either case. Text in '…' keeps its case.
    .replace(/'[^']*'|[^']+/g, (part) => (part.startsWith("'") ? part : part.toLowerCase()))
    .replace(STORAGE, "")
    .replace(/;$/, "")
    .replaceAll(CAST, "")
    .replace(/ desc nulls first\b/g, " desc")
    .replace(/ asc\b| nulls last\b/g, "")
    .replace(/["()]/g, " ")
    .replace(/ *, */g, ",")
    .replace(/\s+/g, " ")
    .trim();
  return `${unique.toLowerCase()}${method.toLowerCase()} ${body}`;
}

/** True if the index is what the statement would create. Unknown definitions (null) count as right. */
export function hasDefinition(found: string | null, statement: string): boolean {
  return found === null || canonicalIndex(found) === canonicalIndex(statement);
}

/** The statement that builds an index under another name, without blocking readers or writers. */
export function concurrently(statement: string, schema: string, name: string): string {
  return statement.replace(
    /^(CREATE (?:UNIQUE )?INDEX )(?:IF NOT EXISTS )?"[^"]+" ON ("[^"]+")/,
    `$1CONCURRENTLY "${name}" ON "${schema}".$2`,
  );
}
