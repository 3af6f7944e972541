/** The domain that all tenants share: accounts. It does not know which tenant it runs for. */
import { state } from "@rotorsoft/act";
import { z } from "zod";

const Amount = z.object({ amount: z.int().min(1) });
const AccountState = z.object({ owner: z.string(), balance: z.int(), welcomed: z.boolean() });

const isOpen = {
  description: "The account must be open",
  valid: ({ owner }: { owner: string }) => owner !== "",
};
const isNew = {
  description: "The account must be new",
  valid: ({ owner }: { owner: string }) => owner === "",
};

export const Opened = z.object({ owner: z.string().min(1) });
export const Account = state({ Account: AccountState })
  .init(() => ({ owner: "", balance: 0, welcomed: false }))
  .emits({ Opened, Welcomed: Amount, Deposited: Amount, Withdrawn: Amount })
  .patch({
    Opened: ({ data }) => ({ owner: data.owner }),
    Welcomed: ({ data }, { balance }) => ({ balance: balance + data.amount, welcomed: true }),
    Deposited: ({ data }, { balance }) => ({ balance: balance + data.amount }),
    Withdrawn: ({ data }, { balance }) => ({ balance: balance - data.amount }),
  })
  .on({ open: Opened })
  .given([isNew])
  .emit("Opened")
  .on({ welcome: Amount })
  .given([isOpen])
  .emit(({ amount }, { state }) => (state.welcomed ? undefined : ["Welcomed", { amount }]))
  // Several requests may be for one account at once: who comes second reads again.
  .on({ deposit: Amount }, { maxRetries: 20 })
  .given([isOpen])
  .emit("Deposited")
  .on({ withdraw: Amount }, { maxRetries: 20 })
  .given([isOpen])
  .emit("Withdrawn")
  .build();
