/** The app of the console's tests: what `--app` is given, and whose events the broken store holds. */
import { act, state } from "@rotorsoft/act";
import { z } from "zod";

export const Order = state({
  Order: z.object({ status: z.string(), total: z.number(), due: z.date().optional() }),
})
  .init(() => ({ status: "none", total: 0 }))
  .emits({
    OrderPlaced: z.object({
      total: z.number(),
      lines: z.array(z.object({ sku: z.string(), quantity: z.number() })),
    }),
    OrderPaid: z.object({ method: z.string(), amount: z.number() }),
    OrderShipped: z.object({ carrier: z.string(), due: z.date() }),
  })
  .patch({
    OrderPlaced: ({ data }) => ({ status: "placed", total: data.total }),
    OrderPaid: () => ({ status: "paid" }),
    OrderShipped: ({ data }) => ({ status: "shipped", due: data.due }),
  })
  .on({ payOrder: z.object({ amount: z.number() }) })
  .emit(({ amount }) => ["OrderPaid", { method: "card", amount }])
  .build();

export const Counter = state({ Counter: z.object({ count: z.number() }) })
  .init(() => ({ count: 0 }))
  .emits({ Incremented: z.object({ by: z.number() }) })
  .patch({ Incremented: ({ data }, { count }) => ({ count: count + data.by }) })
  .on({ increment: z.object({ by: z.number() }) })
  .emit(({ by }) => ["Incremented", { by }])
  .build();

export const app = act().withState(Order).withState(Counter).build();
