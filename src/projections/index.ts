/** `act-drizzle/projections`: read models in your own Drizzle database. */

export type { InlineProjections } from "../options/inline.ts";
export { type BackfillOptions, type BackfillProgress, type BackfillResult, backfill } from "./backfill.ts";
export { CaughtUpTimeout, type Lagging, ProjectionError, type ProjectionErrorCode } from "./errors.ts";
export {
  type ExactlyOnce,
  type ExactlyOnceOptions,
  exactlyOnce,
  type TransactionOf,
} from "./exactly-once.ts";
export {
  type InlineEventOf,
  type InlineHandle,
  type InlineHandlerOptions,
  type InlineOptions,
  type InlineTransaction,
  inline,
} from "./inline.ts";
export { type ActPositions, type ActPositionsOptions, actPositions } from "./positions.ts";
export {
  type CaughtUpOptions,
  type Progress,
  type ProgressOptions,
  progressOf,
  type Reached,
} from "./progress.ts";
export { type App, namesForTarget } from "./reactions.ts";
export {
  type EventOf,
  type EventSchemas,
  type RebuildOptions,
  type RebuildProgress,
  type RebuildResult,
  rebuild,
} from "./rebuild.ts";
export { type AnyRebuild, type Rebuildable, rebuildable } from "./rebuildable.ts";
export { type RedeliverOptions, redeliver } from "./redeliver.ts";
