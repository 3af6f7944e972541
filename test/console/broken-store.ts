/**
 * A store of an app that is broken on purpose, for the console's tests and for looking at the page:
 *
 * | what | where |
 * |---|---|
 * | a poison event | event `OrderShipped` of `order-3` blocks `mailer` (lane `mail`) |
 * | skipped | `old-mailer`, with its reason |
 * | deferred for an hour | `invoices` |
 * | leased for ten minutes | `report` (lane `slow`) by `worker-2` |
 * | a lease that ran out | `exports` by `worker-gone` |
 * | caught up | `audit` |
 * | never claimed, without a source | `everything` |
 * | trees of causes over streams | correlations `place-1` to `place-6` |
 * | a loop | correlation `loop`: `ping` and `pong` make each other |
 * | snapshots | `counter-1`, versions 5 and 10 of 12 |
 * | truncated behind a snapshot | `ledger-1` |
 * | closed by a tombstone | `order-6` |
 * | personal data | `OrderPlaced` of each order |
 * | Dates in data | `OrderShipped` |
 * | projections | `balances` is handled, `hot_files` is being rebuilt in place |
 */
import type { PostgresStore } from "../../src/index.ts";

const ACTORS = [
  { id: "7", name: "Ada" },
  { id: "8", name: "Grace" },
  { id: "9", name: "Linus" },
] as const;

type Cause = { readonly id: number; readonly name: string; readonly stream: string };
type Message = {
  readonly name: string;
  readonly data: Record<string, unknown>;
  readonly pii?: Record<string, unknown>;
};

/** `by` acts, or a reaction does because of `cause`. */
async function commit(
  store: PostgresStore,
  stream: string,
  messages: readonly Message[],
  {
    correlation,
    by = 0,
    cause,
  }: { readonly correlation: string; readonly by?: number; readonly cause?: Cause },
): Promise<Cause[]> {
  const actor = ACTORS[by] ?? ACTORS[0];
  const causation = cause ? { event: cause } : { action: { name: "placeOrder", stream, actor } };
  const events = await store.commit(stream, [...messages], { correlation, causation });
  return events.map(({ id, name }) => ({ id, name: String(name), stream }));
}

const only = (events: readonly Cause[]): Cause => {
  const [event] = events;
  if (!event) throw new Error("Nothing was committed");
  return event;
};

/** Six orders, each with what reactions made of it. */
async function placeOrders(store: PostgresStore): Promise<void> {
  for (const n of [1, 2, 3, 4, 5, 6]) {
    const correlation = `place-${n}`;
    const sku = `sku-${n % 3}`;
    const placed = only(
      await commit(
        store,
        `order-${n}`,
        [
          {
            name: "OrderPlaced",
            data: { total: 100 * n, lines: [{ sku, quantity: n }] },
            pii: {
              customer: `Customer ${n}`,
              email: `customer${n}@example.com`,
              born: new Date("1990-04-01"),
            },
          },
        ],
        { correlation, by: n % 3 },
      ),
    );
    const reserved = only(
      await commit(
        store,
        `stock-${sku}`,
        [{ name: "StockReserved", data: { order: `order-${n}`, quantity: n } }],
        {
          correlation,
          cause: placed,
        },
      ),
    );
    await commit(store, `mail-${n}`, [{ name: "MailQueued", data: { template: "thanks" } }], {
      correlation,
      cause: placed,
    });
    const paid = only(
      await commit(store, `order-${n}`, [{ name: "OrderPaid", data: { method: "card", amount: 100 * n } }], {
        correlation,
        cause: reserved,
      }),
    );
    if (n <= 4)
      await commit(
        store,
        `order-${n}`,
        [{ name: "OrderShipped", data: { carrier: "post", due: new Date(Date.UTC(2026, 0, n)) } }],
        { correlation, cause: paid },
      );
  }
  const loop = { correlation: "loop" };
  let last = only(await commit(store, "ping", [{ name: "Pinged", data: { n: 0 } }], loop));
  for (let n = 1; n < 8; n++) {
    const [stream, name] = n % 2 === 1 ? ["pong", "Ponged"] : ["ping", "Pinged"];
    last = only(
      await commit(store, stream ?? "", [{ name: name ?? "", data: { n } }], { ...loop, cause: last }),
    );
  }
}

/** Streams with a snapshot, with one behind which the rest was deleted, and one that was closed. */
async function withSnapshots(store: PostgresStore): Promise<void> {
  const count = { correlation: "count" };
  for (const stream of ["counter-1", "ledger-1"]) {
    let sum = 0;
    for (let version = 0; version <= 12; version++) {
      if (version === 5 || version === 10) {
        await commit(store, stream, [{ name: "__snapshot__", data: { count: sum } }], count);
        continue;
      }
      sum += version + 1;
      await commit(store, stream, [{ name: "Incremented", data: { by: version + 1 } }], {
        ...count,
        by: version % 3,
      });
    }
  }
  await store.truncate([{ stream: "ledger-1", before: new Date(Date.now() + 60_000) }]);
  await store.commit("order-6", [{ name: "__tombstone__", data: {} }], {
    correlation: "close-6",
    causation: {},
  });
}

type Log = { readonly last: number; readonly poison: number; readonly first: number };

async function log(store: PostgresStore): Promise<Log> {
  let last = 0;
  let poison = 0;
  let first = 0;
  await store.query(
    ({ id, name, stream }) => {
      last = id;
      if (stream === "order-3" && name === "OrderShipped") poison = id;
      if (stream === "order-1" && name === "OrderPlaced") first = id;
    },
    { with_snaps: true },
  );
  return { last, poison, first };
}

/** Leases the one subscription of a lane of its own. */
async function claim(store: PostgresStore, lane: string, by: string, millis: number) {
  const [lease] = await store.claim(1, 0, by, millis, lane);
  if (!lease) throw new Error(`Nothing was claimed in lane ${lane}`);
  return lease;
}

/** Each is claimed in a lane of its own; what `lane` says in the end is written afterwards. */
async function subscribe(store: PostgresStore, { last, poison, first }: Log): Promise<void> {
  const mark = { correlated_at: last };
  await store.subscribe(
    [
      { stream: "mailer", source: "^order-", lane: "mail", priority: 10, ...mark },
      { stream: "old-mailer", source: "order-1", lane: "old", correlated_at: last },
      { stream: "invoices", source: "order-2", lane: "billing", ...mark },
      { stream: "report", source: "^order-", lane: "slow", ...mark },
      { stream: "exports", source: "^stock-", lane: "export", ...mark },
      { stream: "audit", lane: "audit", ...mark },
      { stream: "everything", priority: -5, ...mark },
    ],
    last,
    { key: "registry-1", by: "worker-1", millis: 600_000 },
  );
  const mail = await claim(store, "mail", "worker-1", 60_000);
  await store.ack([{ ...mail, at: poison - 1 }]);
  const stuck = await claim(store, "mail", "worker-1", 60_000);
  await store.block([{ ...stuck, error: "SMTP 550: no such mailbox" }]);
  const old = await claim(store, "old", "worker-1", 60_000);
  await store.ack([{ ...old, at: first - 1 }]);
  await store.block([{ ...(await claim(store, "old", "worker-1", 60_000)), error: "address was deleted" }]);
  await claim(store, "slow", "worker-2", 600_000);
  await claim(store, "export", "worker-gone", 0);
  const done = await claim(store, "audit", "worker-1", 60_000);
  await store.ack([{ ...done, at: last }]);
  await store.defer(["invoices"], Date.now() + 3_600_000);
}

export type Broken = {
  /** Id of the event that blocks `mailer`. */
  readonly poison: number;
  /** Id of the event that was skipped for `old-mailer`. */
  readonly skipped: number;
  readonly last: number;
};

/** Fills a seeded store. `skip` is that of an Admin on the same store. */
export async function breakStore(
  store: PostgresStore,
  skip: (options: { stream: string; event: number; by: string; reason: string }) => Promise<unknown>,
): Promise<Broken> {
  await placeOrders(store);
  await withSnapshots(store);
  const found = await log(store);
  await subscribe(store, found);
  await skip({ stream: "old-mailer", event: found.first, by: "ada", reason: "the address was deleted" });
  return { poison: found.poison, skipped: found.first, last: found.last };
}

/** A table of positions beside the store, as `act-drizzle/projections` keeps it. */
export const positionsOf = (schema: string, last: number): string => `
create table "${schema}".act_positions (
  projection text not null, target text not null, at bigint not null default -1, handlers text[],
  generation integer not null default 0, since timestamptz not null default now());
create unique index act_positions_target_ix on "${schema}".act_positions (projection, target);
insert into "${schema}".act_positions (projection, target, at, handlers, generation)
values ('balances', 'order-1', ${last}, null, 1), ('balances', 'order-2', ${Math.floor(last / 2)}, '{add}', 1),
  ('balances', '', ${Math.floor(last / 4)}, null, 1),
  ('hot_files', 'hot', -1, null, 2), ('hot_files', '', ${Math.floor(last / 2)}, '{rebuilding}', 2);`;

/** So many events of 1,000 streams, by the server itself: for scrolling and searching. Ids follow those that are there. */
export const fill = (events: string, count: number): string => `
insert into ${events} (stream, version, name, data, meta, created, dates)
select 'file-' || (g % 1000), g / 1000, case when g % 500 = 0 then 'FileDeleted' else 'FileChanged' end,
  jsonb_build_object('added', g % 97, 'removed', g % 31),
  jsonb_build_object('correlation', 'commit-' || (g / 10), 'causation', jsonb_build_object('action', jsonb_build_object(
    'name', 'change', 'stream', 'file-' || (g % 1000), 'actor', jsonb_build_object('id', 'author-' || (g % 7), 'name', 'Author ' || (g % 7))))),
  now() - make_interval(secs => (${count} - g) * 0.1), '{}'
from generate_series(0, ${count - 1}) g`;
