/**
 * The projections that keep the read models. Delivery is at least once (a worker may die after it
 * wrote and before it acknowledged), so each has a way to apply an event only once: one moves a mark in
 * the transaction of its writes, the other replaces a row only by a newer one.
 */
import { act, type BatchEvent, type Committed, projection, type Schemas } from "@rotorsoft/act";
import { eq, sql } from "drizzle-orm";
import { File, FileAdded, FileChanged, FileDeleted, type FileEvents, FileRenamed } from "./domain.ts";
import { authorChurn, type Database, hotFiles, marks } from "./tables.ts";

export const CHURN = "author-churn";
export const HOT_FILES = "hot-files";

type FileEvent = BatchEvent<FileEvents>;
type Churn = typeof authorChurn.$inferInsert;

/** The side that reads: the same domain, and a projection for each read model. */
export const buildReader = (db: Database) =>
  act().withState(File).withProjection(churn(db)).withProjection(hot(db)).build();

/** Sums of deltas: counted once because the mark, in the same transaction, tells what was counted. */
function churn(db: Database) {
  const apply = (events: readonly FileEvent[]) =>
    db.transaction(async (tx) => {
      const [mark] = await tx.select().from(marks).where(eq(marks.projection, CHURN)).for("update");
      const fresh = events.filter(({ id }) => id > (mark?.at ?? -1));
      const at = fresh.at(-1)?.id;
      if (at === undefined) return;
      const { commits, changes, added, removed } = authorChurn;
      await tx
        .insert(authorChurn)
        .values(sumByAuthor(fresh))
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
      await tx
        .insert(marks)
        .values({ projection: CHURN, at })
        .onConflictDoUpdate({ target: marks.projection, set: { at } });
    });

  const applyOne = (event: FileEvent) => apply([event]);
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

/** The state of each file, folded by its own reducers: a row that is newer replaces the older one. */
const hot = (db: Database) =>
  projection(HOT_FILES)
    // A file that is not in memory costs a load, and a write to make room.
    .of(File, { maxCachedStates: 100_000 })
    .flush(async (rows) => {
      await db
        .insert(hotFiles)
        .values(rows.map(({ stream, state, event_id }) => ({ stream, event_id, ...state })))
        .onConflictDoUpdate({
          target: hotFiles.stream,
          set: {
            path: sql`excluded.path`,
            exists: sql`excluded.exists`,
            commits: sql`excluded.commits`,
            added: sql`excluded.added`,
            removed: sql`excluded.removed`,
            event_id: sql`excluded.event_id`,
          },
          setWhere: sql`excluded.event_id > ${hotFiles.event_id}`,
        });
    })
    .build();
