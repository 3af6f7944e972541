/** For the pictures: the states of the broken store, and those of the demo. */
export { File, Review } from "../../examples/git/domain.ts";
export { Counter, Order } from "./app.ts";
