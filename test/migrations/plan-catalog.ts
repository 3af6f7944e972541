/** Catalogs for tests of plans, without a server. */
import type { Catalog, ColumnInfo, Relation } from "../../src/migrations/introspect.ts";
import { namesOf } from "../../src/schema/names.ts";

export const names = namesOf("shop", "carts");
export const EMPTY: Catalog = {
  schemaExists: true,
  encoding: "UTF8",
  expressions: true,
  relations: new Map(),
  sequence: undefined,
};

export const column = (name: string, type: string, expression: string | null = null): ColumnInfo => ({
  name,
  type,
  default: expression,
  notNull: true,
  users: [],
  partitions: false,
});

/** A table whose first column is its key. */
export function table(name: string, columns: readonly ColumnInfo[], rest: Partial<Relation> = {}): Relation {
  const plain = {
    ...{
      name,
      kind: "r",
      owned: true,
      comment: null,
      options: [],
      required: [],
      primaryKey: null,
      keys: columns
        .slice(0, 1)
        .map(({ name: first }) => ({ unique: true, deferrable: false, columns: [first] })),
      index: null,
    },
    ...{ bytes: 0, restricted: false },
  };
  return { ...plain, columns: [...columns], ...rest };
}

type IndexInfo = NonNullable<Relation["index"]>;
export const indexOf = (on: string, name: string, rest: Partial<IndexInfo> = {}): Relation =>
  table(name, [], { kind: "i", index: { table: on, unique: false, valid: true, definition: null, ...rest } });

export const catalogOf = (...relations: readonly Relation[]): Catalog => ({
  ...EMPTY,
  relations: new Map(relations.map((relation) => [relation.name, relation])),
});
