export { Connections } from "./connections.ts";
export type { Listener } from "./listener.ts";
export type { Backend, Param, Query, Row, Slot } from "./slot.ts";
