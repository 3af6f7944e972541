/**
 * The domain: a file and what commits do to it. A stream per path; the author of the commit is the
 * actor. A path that is added again after its deletion goes on with the same stream.
 */
import { createHash } from "node:crypto";
import { act, type InferActions, type InferEvents, InMemoryCache, state } from "@rotorsoft/act";
import { z } from "zod";

/** What every event of a file says about the commit that caused it. */
const Lines = z.object({
  commit: z.string(),
  authored: z.date(),
  /** 1 for the first event of its commit: counting these counts commits. */
  nth: z.int().min(1),
  added: z.int().min(0),
  removed: z.int().min(0),
  binary: z.boolean(),
});

export const FileAdded = Lines.extend({
  path: z.string(),
  /** Where the file was before, when it was renamed to this path. */
  from: z.string().optional(),
});
export const FileChanged = Lines;
export const FileRenamed = Lines.extend({ to: z.string() });
export const FileDeleted = Lines;

const FileState = z.object({
  path: z.string(),
  exists: z.boolean(),
  commits: z.int(),
  added: z.int(),
  removed: z.int(),
});

type FileState = z.infer<typeof FileState>;
type Lines = z.infer<typeof Lines>;

const touched = (file: Readonly<FileState>, { added, removed }: Lines) => ({
  commits: file.commits + 1,
  added: file.added + added,
  removed: file.removed + removed,
});

const exists = { description: "The file must exist", valid: (file: Readonly<FileState>) => file.exists };
const absent = {
  description: "No file may have this path yet",
  valid: (file: Readonly<FileState>) => !file.exists,
};

export const File = state({ File: FileState })
  .init(() => ({ path: "", exists: false, commits: 0, added: 0, removed: 0 }))
  .emits({ FileAdded, FileChanged, FileRenamed, FileDeleted })
  .patch({
    FileAdded: ({ data }, file) => ({ ...touched(file, data), path: data.path, exists: true }),
    FileChanged: ({ data }, file) => touched(file, data),
    FileRenamed: ({ data }, file) => ({ ...touched(file, data), exists: false }),
    FileDeleted: ({ data }, file) => ({ ...touched(file, data), exists: false }),
  })
  .on({ addFile: FileAdded })
  .given([absent])
  .emit("FileAdded")
  .on({ changeFile: FileChanged })
  .given([exists])
  .emit("FileChanged")
  .on({ renameFile: FileRenamed })
  .given([exists])
  .emit("FileRenamed")
  .on({ deleteFile: FileDeleted })
  .given([exists])
  .emit("FileDeleted")
  // Small, so that a young repository shows snapshots too; real streams do with one in 100 events.
  .snap(({ patches }) => patches >= 10)
  .build();

/** A second, tiny aggregate for the demonstration of a conflict: one reviewer per file. */
export const Review = state({ Review: z.object({ reviewers: z.array(z.string()) }) })
  .init(() => ({ reviewers: [] }))
  .emits({ ReviewClaimed: z.object({ reviewer: z.string() }) })
  .patch({ ReviewClaimed: ({ data }, { reviewers }) => ({ reviewers: [...reviewers, data.reviewer] }) })
  .on({ claimReview: z.object({ reviewer: z.string() }) })
  .emit("ReviewClaimed")
  .build();

export type FileEvents = InferEvents<typeof File>;
export type FileActions = InferActions<typeof File>;

/** The side that writes: actions only. Reactions run elsewhere (worker.ts). */
export const buildWriter = () =>
  act().withState(File).withState(Review).build({ drain: false, listen: false });

export type Writer = ReturnType<typeof buildWriter>;

/** States stay warm for this many files; a colder file is loaded from its latest snapshot. */
export const newCache = () => new InMemoryCache({ maxSize: 20_000 });

/** The stream of a path. An index entry of PostgreSQL ends at 2,700 bytes, a path of git does not. */
export function streamOf(path: string): string {
  if (Buffer.byteLength(path) <= 2_000) return `file:${path}`;
  return `file:${[...path].slice(0, 400).join("")}…${createHash("sha256").update(path).digest("hex")}`;
}
