/** What every verb works with: the names of the tables, the connections, and how rows are read. */
import type { PiiCipher } from "./codec/encryption.ts";
import type { Connections } from "./connections/index.ts";
import type { EventReader } from "./events/row.ts";
import type { Names } from "./names.ts";

export type Context = {
  readonly names: Names;
  readonly connections: Connections;
  readonly reader: EventReader;
  readonly cipher: PiiCipher | undefined;
  /** Identifies this store in notifications, so that it does not hear itself. */
  readonly by: string;
  readonly notify: boolean;
};
