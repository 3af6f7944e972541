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

/** The rich rows of `fillEvents`, for stores that SQL can't fill. */
export const richMessages = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    name: "Incremented",
    data: {
      orderId: `order-${n}`,
      currency: "EUR",
      total: n,
      express: n % 2 === 0,
      customer: { id: `c-${n % 977}`, name: `Customer ${n % 977}`, country: "DE" },
      items: [
        { sku: `A-${n % 31}`, quantity: 2, price: 19.9 },
        { sku: `B-${n % 17}`, quantity: 1, price: 5 },
      ],
      placedAt: new Date("2026-03-01T10:15:30.123Z"),
      note: "leave at the door",
    },
  }));

/** Opens and seeds a subject in a schema of its own. */
export async function openFresh(
  bench: Pick<Bench, "url" | "freshSchema">,
  subject: Subject,
  options: Partial<OpenOptions> = {},
) {
  const schema = await bench.freshSchema();
  const store = await subject.open({ url: bench.url, schema, ...options });
  await store.seed();
  return { store, schema };
}

/** A prepared subject around one store that is disposed at the end. */
export function onStore(store: Store, run: Prepared["run"]): Prepared {
  return { run, close: () => store.dispose() };
}

/** A schema that the subject seeded and `fill` filled, once for all scenarios that name the same key. */
export function seeded(
  bench: Bench,
  subject: Subject,
  key: string,
  fill: (schema: string) => Promise<void>,
): Promise<string> {
  return bench.dataset(subject, key, async (schema) => {
    const store = await subject.open({ url: bench.url, schema });
    await store.seed();
    await store.dispose();
    await fill(schema);
  });
}
