import type { Scenario } from "../lib/types.ts";
import { commitScenarios } from "./commit.ts";

export const scenarios: readonly Scenario[] = [...commitScenarios];
