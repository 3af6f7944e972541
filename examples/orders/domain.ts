/** The domain: an order that is placed, paid, and then shipped or cancelled. A stream per order. */
import { act, type InferActions, type InferEvents, state } from "@rotorsoft/act";
import { z } from "zod";

const Line = z.object({
  sku: z.string().min(1).max(64),
  quantity: z.int().min(1).max(1_000),
  /** In cents, for one piece. */
  price: z.int().min(0).max(100_000_000),
});

export const PlaceOrder = z.object({
  customer: z.string().min(1).max(200),
  lines: z.array(Line).min(1).max(100),
});
export const PayOrder = z.object({ method: z.enum(["card", "invoice"]) });
export const ShipOrder = z.object({ carrier: z.string().min(1).max(100), due: z.date() });
export const CancelOrder = z.object({ reason: z.string().min(1).max(1_000) });
export const RefundOrder = z.object({});

const Amount = z.object({ amount: z.int().min(0) });
export const OrderPlaced = PlaceOrder.extend({ total: z.int().min(0) });
export const OrderPaid = PayOrder.extend(Amount.shape);
export const OrderShipped = ShipOrder;
/** `paid` is what the customer gets back. */
export const OrderCancelled = CancelOrder.extend({ paid: z.int().min(0) });
export const OrderRefunded = Amount;

const OrderState = z.object({
  status: z.enum(["none", "placed", "paid", "shipped", "cancelled"]),
  customer: z.string(),
  total: z.int(),
  paid: z.int(),
});
export type OrderState = z.infer<typeof OrderState>;
export type Status = OrderState["status"];

/** The description is told to whoever breaks the rule, so it says what must be, and not what is. */
const when = (description: string, ...statuses: Status[]) => [
  { description, valid: ({ status }: Readonly<OrderState>) => statuses.includes(status) },
];

export const Order = state({ Order: OrderState })
  .init(() => ({ status: "none", customer: "", total: 0, paid: 0 }))
  .emits({ OrderPlaced, OrderPaid, OrderShipped, OrderCancelled, OrderRefunded })
  .patch({
    OrderPlaced: ({ data }) => ({ status: "placed", customer: data.customer, total: data.total }),
    OrderPaid: ({ data }) => ({ status: "paid", paid: data.amount }),
    OrderShipped: () => ({ status: "shipped" }),
    OrderCancelled: () => ({ status: "cancelled" }),
    OrderRefunded: ({ data }, { paid }) => ({ paid: paid - data.amount }),
  })
  .on({ placeOrder: PlaceOrder })
  .given(when("Only a new order can be placed", "none"))
  .emit((order) => {
    const total = order.lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0);
    return ["OrderPlaced", { ...order, total }];
  })
  .on({ payOrder: PayOrder })
  .given(when("Only an order that waits for its payment can be paid", "placed"))
  .emit((payment, { state }) => ["OrderPaid", { ...payment, amount: state.total }])
  .on({ shipOrder: ShipOrder })
  .given(when("Only a paid order can be shipped", "paid"))
  .emit("OrderShipped")
  .on({ cancelOrder: CancelOrder })
  .given(when("Only an order that has not left can be cancelled", "placed", "paid"))
  .emit((cancellation, { state }) => ["OrderCancelled", { ...cancellation, paid: state.paid }])
  .on({ refundOrder: RefundOrder })
  .given(when("Only a cancelled order can be refunded", "cancelled"))
  .emit((_, { state }) => (state.paid > 0 ? ["OrderRefunded", { amount: state.paid }] : undefined))
  .build();

export type OrderEvents = InferEvents<typeof Order>;
export type OrderActions = InferActions<typeof Order>;

/** The side that takes commands. Reactions run in the workers. */
export const buildShop = () => act().withState(Order).build({ drain: false, listen: false });
export type Shop = ReturnType<typeof buildShop>;
