/**
 * The projections that keep the read models. Delivery is at least once (a worker may die after it wrote and before it
 * acknowledged); exactlyOnce() records in the transaction of the writes how far they go.
 */
import { act, type BatchEvent, type Committed, projection, type Schemas } from "@rotorsoft/act";
import { exactlyOnce } from "act-drizzle/projections";
import { sql } from "drizzle-orm";
import { File, FileAdded, FileChanged, FileDeleted, type FileEvents, FileRenamed } from "./domain.ts";
import { authorChurn, type Database, hotFiles, positions } from "./tables.ts";

export const CHURN = "author-churn";
export const HOT_FILES = "hot-files";

type FileEvent = BatchEvent<FileEvents>;
type Churn = typeof authorChurn.$inferInsert;

/** The side that reads: the same domain, and a projection for each read model. */
export const buildReader = (db: Database) =>
  act().withState(File).withProjection(churn(db)).withProjection(hot(db)).build();

/** Sums of deltas: an event that was counted twice would be in them twice. */
function churn(db: Database) {
  const once = exactlyOnce({ db, projection: CHURN, positions });
  const apply = once.batch(async (events: readonly FileEvent[], tx) => {
    const { commits, changes, added, removed } = authorChurn;
    await tx
      .insert(authorChurn)
      .values(sumByAuthor(events))
      .onConflictDoUpdate({
        target: authorChurn.email,
        set: {
          name: sql`excluded.name`,
          commits: sql`${commits} + excluded.commits`,
          changes: sql`${changes} + excluded.changes`,
          added: sql`${added} + excluded.added`,
          removed: sql`${removed} + excluded.removed`,
        },
      });
  });

  const applyOne = (event: FileEvent, stream: string) => apply([event], stream);
  return projection(CHURN)
    .on({ FileAdded })
    .do(applyOne)
    .on({ FileChanged })
    .do(applyOne)
    .on({ FileRenamed })
    .do(applyOne)
    .on({ FileDeleted })
    .do(applyOne)
    .batch(apply)
    .build();
}

function sumByAuthor(events: readonly FileEvent[]): Churn[] {
  const authors = new Map<string, Churn>();
  for (const event of events) {
    const { id: email, name } = actorOf(event);
    const sum = authors.get(email) ?? { email, name, commits: 0, changes: 0, added: 0, removed: 0 };
    authors.set(email, {
      email,
      name,
      commits: sum.commits + (event.data.nth === 1 ? 1 : 0),
      changes: sum.changes + 1,
      added: sum.added + event.data.added,
      removed: sum.removed + event.data.removed,
    });
  }
  return [...authors.values()];
}

/** Who took the action behind an event: here, the commit's author. */
export function actorOf({ meta }: Pick<Committed<Schemas, string>, "meta">): { id: string; name: string } {
  return meta.causation.action?.actor ?? { id: "", name: "" };
}

/** The state of each file, folded by its own reducers. An older state never replaces a newer one. */
function hot(db: Database) {
  const once = exactlyOnce({ db, projection: HOT_FILES, positions });
  return (
    projection(HOT_FILES)
      // A file that is not in memory costs a load, and a write to make room.
      .of(File, { maxCachedStates: 100_000 })
      .flush(
        once.flush(async (rows, tx) => {
          await tx
            .insert(hotFiles)
            .values(rows.map(({ stream, state }) => ({ stream, ...state })))
            .onConflictDoUpdate({
              target: hotFiles.stream,
              set: {
                path: sql`excluded.path`,
                exists: sql`excluded.exists`,
                commits: sql`excluded.commits`,
                added: sql`excluded.added`,
                removed: sql`excluded.removed`,
              },
            });
        }),
      )
      .build()
  );
}
