/** What every verb gets: the names of the tables, the connections, and the reader of rows. */
import type { Database } from "./postgres/index.ts";
import type { EventReader } from "./schema/event-rows.ts";
import type { Names } from "./schema/names.ts";
import type { PiiCipher } from "./values/pii-keys.ts";

export type Context = {
  readonly names: Names;
  readonly connections: Database;
  readonly reader: EventReader;
  readonly cipher: PiiCipher | undefined;
  /** Identifies this store in notifications, so that it ignores those of its own commits. */
  readonly by: string;
  readonly notify: boolean;
  /** ms between two looks of a listener for work that nobody announced; 0: it looks only when told to. */
  readonly pollIntervalMillis: number;
};
