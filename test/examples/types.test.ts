import { expectTypeOf, it } from "vitest";

it("the compiler sees the scripts that the tests run as processes", () => {
  expectTypeOf<typeof import("../../examples/counter/counter.ts")>().toBeObject();
  expectTypeOf<typeof import("../../examples/ha/main.ts")>().toBeObject();
  expectTypeOf<typeof import("../../examples/orders/main.ts")>().toBeObject();
  expectTypeOf<typeof import("../../examples/orders/server.ts")>().toBeObject();
  expectTypeOf<typeof import("../../examples/orders/worker.ts")>().toBeObject();
  expectTypeOf<typeof import("../../examples/tenants/main.ts")>().toBeObject();
  expectTypeOf<typeof import("../../scripts/studio.ts")>().toBeObject();
});
