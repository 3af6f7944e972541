/** Every section of the suite, in the order of the contract. */

import { boot } from "./boot.ts";
import { claim } from "./claim.ts";
import { commit } from "./commit.ts";
import { construction } from "./construction.ts";
import { correlator } from "./correlator.ts";
import { dates } from "./dates.ts";
import { failures } from "./failures.ts";
import { finalize } from "./finalize.ts";
import { framework } from "./framework.ts";
import type { Section } from "./kit/section.ts";
import { load } from "./load.ts";
import { longNames } from "./long-names.ts";
import { notify } from "./notify.ts";
import { operators } from "./operators.ts";
import { ordering } from "./ordering.ts";
import { patterns } from "./patterns.ts";
import { pii } from "./pii.ts";
import { plans } from "./plans.ts";
import { positionsOfStreams } from "./positions.ts";
import { query } from "./query.ts";
import { restore } from "./restore.ts";
import { shutdown } from "./shutdown.ts";
import { stats } from "./stats.ts";
import { subscribe } from "./subscribe.ts";
import { truncate } from "./truncate.ts";
import { wake } from "./wake.ts";
import { workers } from "./workers.ts";

export const sections: readonly Section[] = [
  ...[construction, longNames, boot, shutdown, failures],
  ...[commit, ordering],
  ...[query, load, patterns, plans],
  ...[subscribe, correlator],
  ...[claim, finalize, operators, workers],
  ...[positionsOfStreams, stats, truncate, restore],
  ...[notify, wake, pii, dates],
  framework,
];
