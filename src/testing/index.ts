/** `act-drizzle/testing`: a store of its own for each test of an app. */
export {
  type Scenario,
  type TestableApp,
  type TestEvent,
  type TestKit,
  type TestKitOptions,
  type TestSetup,
  testKit,
} from "./kit.ts";
export type { TestStore } from "./schema.ts";
