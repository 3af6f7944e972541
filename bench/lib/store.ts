/** Small things that scenarios do with a store. */
import type { EventMeta, Store } from "@rotorsoft/act";
import type { Bench, OpenOptions, Prepared, Subject } from "./types.ts";

export const META: EventMeta = {
  correlation: "bench-0001",
  causation: { action: { name: "place", stream: "order-1", actor: { id: "u1", name: "Ann" } } },
};

export const message = (n: number) => ({
  name: "Incremented",
  data: { amount: n % 100, note: `event number ${n}` },
});

export const messages = (count: number) => Array.from({ length: count }, (_, n) => message(n));

/** Opens and seeds a subject in a schema of its own. */
export async function openFresh(bench: Bench, subject: Subject, options: Partial<OpenOptions> = {}) {
  const schema = await bench.freshSchema();
  const store = await subject.open({ url: bench.url, schema, ...options });
  await store.seed();
  return { store, schema };
}

/** A prepared subject around one store that is disposed at the end. */
export function onStore(store: Store, run: Prepared["run"]): Prepared {
  return { run, close: () => store.dispose() };
}
