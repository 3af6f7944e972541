/**
 * An app as a worker imports it: its store listens, so the app works as soon as it hears of an event. A timer keeps the
 * process alive, as an open connection would.
 */
import { act, state, store } from "@rotorsoft/act";
import { z } from "zod";
import { PostgresStore } from "../../src/index.ts";

store(
  new PostgresStore({
    url: process.env.DATABASE_URL,
    schema: process.env.APP_SCHEMA,
    table: process.env.APP_TABLE,
    notify: true,
  }),
);

setInterval(() => {}, 60_000);

const Placed = z.object({ total: z.number() });

const Order = state({ Order: z.object({ total: z.number() }) })
  .init(() => ({ total: 0 }))
  .emits({ Placed })
  .patch({ Placed: ({ data }) => data })
  .on({ place: Placed })
  .emit("Placed")
  .build();

export const app = act()
  .withState(Order)
  .on("Placed")
  .do(async function invoice() {
    console.log("HANDLED");
  })
  .to(({ stream }) => ({ source: stream, target: `invoice-${stream}` }))
  .build();
