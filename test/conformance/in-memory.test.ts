/** The reference implementation against the contract. */
import { InMemoryStore } from "@rotorsoft/act";
import { defineConformance } from "./kit/conformance.ts";
import { sections } from "./sections.ts";

/** Every test of these names, by how they begin. */
const beginning = (...starts: string[]) =>
  sections
    .flatMap(({ tests }) => tests.map(({ name }) => name))
    .filter((name) => starts.some((start) => name.startsWith(start)));

const because = (reason: string, names: string[]) => Object.fromEntries(names.map((name) => [name, reason]));

defineConformance("InMemoryStore", {
  create: async () => {
    const store = new InMemoryStore();
    await store.seed();
    return { store, dispose: () => store.dispose() };
  },
  capabilities: { restore: true, pii: true, exact_dates: true },
  firstId: 0,
  differs: {
    ...because("it holds JavaScript strings, so there is no text that it can't hold", [
      ...beginning("M6 a NUL or a lone surrogate", "M6 the refusal", "M6 a refused text"),
    ]),
    ...because("it lets RegExp throw its SyntaxError", [
      ...sections
        .flatMap(({ tests }) => tests.map(({ name }) => name))
        .filter((name) => name.startsWith("Q8") && name.endsWith("is refused with a ValidationError")),
      "C10 ValidationError passes as it is",
      "Q8 an invalid pattern is refused even where nothing is asked for",
    ]),
    ...because("it compares the version before it looks whether there is anything to commit", [
      "M1 an empty commit returns an empty list at any expectedVersion",
    ]),
    ...because(
      "an empty stream crashes these filters",
      beginning("R1 an empty stream", "R4 an empty stream"),
    ),
    ...because("its slice counts −1 from the other end: all but the last", ["L2 of −1 picks there are none"]),
    ...because("it leaves one tombstone for each time that the stream is named", [
      "R5 a stream named twice is truncated once",
    ]),
    ...because("dispose empties it and leaves it usable", [
      "C8 an operation after dispose rejects with a StoreError",
    ]),
    ...because("drop leaves checkpoints and leases of correlators", [
      "C7 a drop removes events, subscriptions and checkpoints, and a seed starts over",
    ]),
    ...because("restore leaves the checkpoints", ["R7 checkpoints are wiped"]),
    ...because("blocked: true overrides the filter's false, against the doc comment of the port", [
      "L11 unblock by filter: all that is blocked, and with blocked: false nothing",
    ]),
    ...because("an empty list matches no source; the port calls the filter a hint, so both are allowed", [
      "R2 no names are no constraint",
    ]),
    ...because("it counts names in a plain object", [
      "R4 an event name like a member of every object is counted like any other",
    ]),
  },
});
