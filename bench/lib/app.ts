/** A small app on a store: one state, and a reaction that gives every stream a subscription of its own. */
import { act, type Committed, InMemoryCache, type Schemas, type Store, state } from "@rotorsoft/act";
import { z } from "zod";

const amount = z.object({ amount: z.number(), note: z.string() });

const Counter = state({ Counter: z.object({ total: z.number() }) })
  .init(() => ({ total: 0 }))
  .emits({ Incremented: amount })
  .patch({ Incremented: ({ data }, { total }) => ({ total: total + data.amount }) })
  .on({ increment: amount })
  .emit((data) => ["Incremented", data])
  .build();

export const ACTOR = { id: "u1", name: "Ann" };

export function buildApp(store: Store, onEvent: (event: Committed<Schemas, string>) => void) {
  const onIncremented = async (event: Committed<Schemas, string>) => onEvent(event);
  return act()
    .withState(Counter)
    .on("Incremented")
    .do(onIncremented)
    .to(({ stream }) => ({ source: stream, target: `r-${stream}` }))
    .build({ scoped: { store, cache: new InMemoryCache() } });
}
