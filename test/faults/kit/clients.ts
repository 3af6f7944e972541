/** The load under which faults come: clients that go on whatever happens to a call, until they are told to stop. */
import type { Schemas } from "@rotorsoft/act";
import type { PostgresStore } from "../../../src/index.ts";
import type { Ledger } from "./ledger.ts";

/** One turn of a client; `k` is its number. */
export type Client = (store: PostgresStore, ledger: Ledger, k: number) => Promise<unknown>;

const headOf = async (store: PostgresStore, stream: string) =>
  (await store.query_stats([stream])).get(stream)?.head.version ?? -1;

/** A server that is down refuses at once: without a breath clients would do nothing but ask. */
const breath = () => new Promise<void>((resolve) => setTimeout(resolve, 5));

/** Alone on its stream and always guarded: it may lose to nobody but the connection. */
export const alone: Client = async (store, ledger, k) => {
  const head = await ledger.attempt(() => headOf(store, `own-${k}`));
  if (head === undefined) return breath();
  const size = 1 + (k % 3);
  for (let version = head; version < head + 12; version += size)
    if (!(await ledger.commit(store, `own-${k}`, version, size))) return;
};

/** Many on one stream: conflicts beside failures. */
export const contended: Client = async (store, ledger) => {
  const head = await ledger.attempt(() => headOf(store, "shared"));
  if (head === undefined) return breath();
  await ledger.commit(store, "shared", head, 2);
};

export const unguarded: Client = async (store, ledger, k) => {
  if (!(await ledger.commit(store, `any-${k % 2}`))) await breath();
};

/** What was acknowledged before a query began is in its answer, in order of id. */
export const reader: Client = async (store, ledger) => {
  const recent = [...ledger.acknowledged.values()].slice(-50);
  const before = recent.flatMap(({ placed }) => placed.map(({ id }) => id));
  const seen = new Set<number>();
  let last = -1;
  const note = ({ id }: { readonly id: number }) => {
    if (id <= last) ledger.untyped.push(new Error(`event ${id} came after ${last}`));
    last = id;
    seen.add(id);
  };
  const after = before.length > 0 ? Math.min(...before) - 1 : -1;
  const count = await ledger.attempt(() => store.query<Schemas>(note, { after }));
  if (count === undefined) return breath();
  const missing = before.filter((id) => !seen.has(id));
  if (missing.length > 0) ledger.untyped.push(new Error(`ids ${missing} not found, though acknowledged`));
};

/** Claims, and acks what it holds; a lease that was lost with its connection expires. */
export const worker: Client = async (store, ledger, k) => {
  const subscribed = await ledger.attempt(() =>
    store.subscribe([{ stream: `t-${k}`, correlated_at: 1_000_000 }]),
  );
  if (!subscribed) return breath();
  const leases = await ledger.claim(store, `w-${k}`, 300);
  const done = leases.map((lease) => ({ ...lease, at: Math.min(lease.at + 1, ledger.head) }));
  await ledger.ack(store, done);
};

export const MIXED: readonly Client[] = [
  alone,
  alone,
  alone,
  contended,
  contended,
  unguarded,
  reader,
  worker,
  worker,
];

/** One of each for every store, beside a reader that tails the log; resolves when the last call has settled. */
export async function load(
  ledger: Ledger,
  stores: readonly PostgresStore[],
  over: () => boolean,
  clients: readonly Client[] = MIXED,
): Promise<void> {
  const all = clients.flatMap((client, k) => stores.map((store, s) => ({ client, store, k, s })));
  const [first] = stores;
  await Promise.all([
    first && ledger.tail(first, over),
    ...all.map(async ({ client, store, k, s }) => {
      while (!over()) await client(store, ledger, k * stores.length + s);
    }),
  ]);
}

/** How the report names it. */
export const loadOf = (stores: readonly unknown[], clients: readonly Client[] = MIXED) =>
  `${clients.length * stores.length} clients and a tailing reader on ${stores.length} stores`;
