/** Every scenario, in the order of the report. */
import type { Scenario } from "../lib/types.ts";
import { commitScenarios } from "./commit.ts";
import { idleScenarios } from "./idle.ts";
import { inlineScenarios } from "./inline.ts";
import { limitScenarios } from "./limits.ts";
import { maintenanceScenarios } from "./maintenance.ts";
import { moveScenarios } from "./move.ts";
import { projectionScenarios } from "./projections.ts";
import { reactionScenarios } from "./reactions.ts";
import { readScenarios } from "./read.ts";
import { readModelScenarios } from "./read-models.ts";
import { rebuildScenarios } from "./rebuild.ts";
import { roundTrips } from "./round-trips.ts";
import { statsScenarios } from "./stats.ts";
import { subscriptionScenarios } from "./subscriptions.ts";
import { tailScenarios } from "./tails.ts";
import { telemetryScenarios } from "./telemetry.ts";
import { tenantScenarios } from "./tenants.ts";

export const scenarios: readonly Scenario[] = [
  ...commitScenarios,
  ...readScenarios,
  ...subscriptionScenarios,
  ...reactionScenarios,
  ...idleScenarios,
  ...projectionScenarios,
  ...inlineScenarios,
  ...rebuildScenarios,
  ...readModelScenarios,
  ...tailScenarios,
  ...statsScenarios,
  ...maintenanceScenarios,
  ...telemetryScenarios,
  ...tenantScenarios,
  ...moveScenarios,
  ...limitScenarios,
  roundTrips,
];
