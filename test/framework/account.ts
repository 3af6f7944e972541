/** The account that most of the tests act on, here and in processes of their own. */
import { state } from "@rotorsoft/act";
import { z } from "zod";

export const actor = { id: "u1", name: "Ann" };

export const Deposited = z.object({ amount: z.number() });

/** A balance. `deposit` emits one event, at the head that it finds, whoever else deposits. */
export const Account = state({ Account: z.object({ balance: z.number() }) })
  .init(() => ({ balance: 0 }))
  .emits({ Deposited })
  .patch({ Deposited: ({ data }, { balance }) => ({ balance: balance + data.amount }) })
  .on({ deposit: z.object({ amount: z.number() }) }, { maxRetries: 100 })
  .emit("Deposited")
  .build();
