/** The types of the wrapper: each marked line would compile if they were `any`. */
import { act, projection, state } from "@rotorsoft/act";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { expectTypeOf, test } from "vitest";
import { z } from "zod";
import { exactlyOnce } from "../../src/projections/index.ts";
import { type counters, schema } from "./fixture.ts";

const Opened = z.object({ owner: z.string() });
const Closed = z.object({ at: z.date() });
const Account = state({ Account: z.object({ balance: z.number() }) })
  .init(() => ({ balance: 0 }))
  .emits({ Opened, Closed })
  .patch({ Opened: () => ({}), Closed: () => ({}) })
  .on({ open: Opened })
  .emit("Opened")
  .build();

test("handlers get events by name, and the transaction of the schema", () => {
  const once = exactlyOnce({ db: drizzle(postgres({ max: 0 }), { schema }), projection: "p" });
  projection("p")
    .on({ Opened })
    .do(
      once.do(async (event, tx, stream) => {
        expectTypeOf(event.name).toEqualTypeOf<"Opened">();
        expectTypeOf(event.data).toEqualTypeOf<Readonly<{ owner: string }>>();
        expectTypeOf(stream).toEqualTypeOf<string>();
        const rows = await tx.query.counters.findMany();
        expectTypeOf(rows).toEqualTypeOf<(typeof counters.$inferSelect)[]>();
        // @ts-expect-error: no such table
        tx.query.nothing;
        // @ts-expect-error: no such field
        event.data.at;
      }),
    )
    .on({ Closed })
    .do(once.do(async ({ data }) => expectTypeOf(data.at).toEqualTypeOf<Date>()))
    .batch(
      once.batch(async (events) => {
        for (const event of events)
          if (event.name === "Closed") expectTypeOf(event.data.at).toEqualTypeOf<Date>();
          // @ts-expect-error: of Closed only
          else event.data.at;
      }),
    );
  projection("q")
    .of(Account)
    .flush(
      once.flush(async (rows) => {
        for (const { state } of rows) expectTypeOf(state.balance).toEqualTypeOf<number>();
      }),
    );
  act()
    .withState(Account)
    .on("Opened")
    .do(
      once.do(async (event, _tx, _stream, app) => {
        expectTypeOf(event.data).toEqualTypeOf<Readonly<{ owner: string }>>();
        const actor = { id: "1", name: "a" };
        // @ts-expect-error: no such action
        if (event.id < 0) await app.do("close", { stream: "s", actor }, { owner: "" });
      }),
    )
    .build({ drain: false, listen: false });
});
