/** A state without state, for scenarios that only need its event in the log. */
import { state } from "@rotorsoft/act";
import { z } from "zod";

export const Incremented = z.object({ amount: z.number(), note: z.string() });

export const Counter = state({ Counter: z.object({}) })
  .init(() => ({}))
  .emits({ Incremented })
  .patch({ Incremented: () => ({}) })
  .on({ increment: Incremented })
  .emit("Incremented")
  .build();
