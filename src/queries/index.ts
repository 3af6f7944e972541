/** `act-drizzle/queries`: typed reads of the log with Drizzle. */

export {
  booleanIn,
  contains,
  dateIn,
  numberIn,
  type PartOf,
  type PathTo,
  textIn,
} from "./payload.ts";
export { actRelations } from "./relations.ts";
export { type EventsOf, type Stored, type TypedEvents, typedEvents } from "./typed-events.ts";
