/** Clients that truncate and restore beside the load, each with a book of the rows that only it changes. */
import type { Committed, Schemas } from "@rotorsoft/act";
import type postgres from "postgres";
import type { PostgresStore } from "../../../src/index.ts";
import { event, meta } from "../../postgres/fixture.ts";
import type { Ledger } from "../kit/ledger.ts";
import { Book, type Row, readRows } from "./book.ts";

export type Closing = { readonly book: Book; turn(): Promise<void> };
type Event = Committed<Schemas, keyof Schemas>;

/** Any event that was created until now is older, by whatever clock. */
const later = () => new Date(Date.now() + 3_600_000);

const added = (before: readonly Row[], events: readonly Row[]) => [
  ...before,
  ...events.map(({ id, stream, version }) => ({ id, stream, version })),
];

const append = (book: Book, store: PostgresStore, stream: string, names: readonly string[]) =>
  book.turn(
    "commit",
    () =>
      store.commit(
        stream,
        names.map((name) => event(name)),
        meta,
      ),
    added,
  );

/** What is left where these streams were truncated: nothing behind the event that each answer names. */
function remaining(before: readonly Row[], result: Awaited<ReturnType<PostgresStore["truncate"]>>): Row[] {
  const kept = before.filter(({ id, stream }) => id >= (result.get(stream)?.committed.id ?? -1));
  const seeds = [...result.values()].map(({ committed }) => committed);
  return added(
    kept,
    seeds.filter(({ id }) => !kept.some((row) => row.id === id)),
  );
}

/** Closes the books of two streams again and again: up to a snapshot, as a whole, and both in one call. */
export function truncating(sql: postgres.Sql, ledger: Ledger, store: PostgresStore, name: string): Closing {
  const [one, two] = [`${name}-1`, `${name}-2`];
  const book = new Book(ledger, readRows(sql, store.config, [one, two]));
  const kinds = [
    { what: "windowed truncate", of: [one], targets: () => [{ stream: one, before: later() }] },
    { what: "full truncate", of: [two], targets: () => [{ stream: two, snapshot: {} }] },
    {
      what: "mixed truncate",
      of: [one, two],
      targets: () => [{ stream: one, before: later() }, { stream: two }],
    },
  ];
  return {
    book,
    turn: async () => {
      for (const { what, of, targets } of kinds) {
        for (const stream of of) await append(book, store, stream, ["Noted", "__snapshot__", "Noted"]);
        await book.turn(what, () => store.truncate(targets()), remaining);
      }
    },
  };
}

/** Restores a log of its own, of one length and then of another, with a commit in between. */
export function restoring(sql: postgres.Sql, ledger: Ledger, store: PostgresStore): Closing {
  const book = new Book(ledger, readRows(sql, store.config));
  const events: Event[] = Array.from({ length: 40 }, (_, k) => ({
    ...{ id: k + 1, stream: `r${k % 4}`, version: Math.floor(k / 4), name: "Noted", data: {}, meta },
    created: new Date(),
  }));
  let turns = 0;
  return {
    book,
    turn: async () => {
      const some = events.slice(0, turns++ % 2 === 0 ? events.length : events.length / 2);
      const restore = () =>
        store.restore(async (insert) => {
          for (const one of some) await insert(one);
        });
      await book.turn("restore", restore, () => some);
      await append(book, store, "r0", ["Noted"]);
    },
  };
}
