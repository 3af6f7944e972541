/** Deliberate defects of the reads from replicas. */
import { code, type Defect, on, sql } from "./defects.define.ts";

const READS = ["test/replicas/reads.test.ts"];
const FAILURES = ["test/replicas/failures.test.ts"];
const seen = on("Seen", "", READS);
const texts = on("replicaTexts", "", READS);
const raises = (exported: string) => on(exported, "", READS);
const RAISE = "ExpressionStatement:has([property.name='seen'])";
const bodyOf = (method: string) =>
  `MethodDefinition[key.name='${method}'] > FunctionExpression > BlockStatement`;

export const replicaDefects: readonly Defect[] = [
  seen("what was seen is not remembered", code(bodyOf("event"), "{}")),
  seen("a change without an id is hidden by replicas", code(bodyOf("changed"), "{}")),
  seen("an id that does not exist keeps replicas from being read", code(bodyOf("missing"), "{}")),
  texts(
    "a replica is read that has not replayed a change without an id",
    sql(/\$1::pg_lsn is null or coalesce\(.*?\) as replayed/s, "$1::pg_lsn is null or true as replayed"),
  ),
  texts(
    "a replica that lags is read",
    sql("extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000", "0"),
  ),
  on(
    "replicaTexts",
    "",
    FAILURES,
  )("a replica is read after it was promoted", sql("pg_is_in_recovery() as standby", "true as standby")),
  raises("claim")(
    "a claim does not say up to where there is work",
    code("BinaryExpression:has([property.name='seen'])", "false"),
  ),
  raises("subscribe")("a checkpoint does not count as seen", code(RAISE, "")),
  raises("Notifier")("a notification does not count as seen", code(RAISE, "")),
  raises("query")(
    "a replica answers for what comes after an event that it lacks",
    code("Property[key.name='seen'] > .value", "undefined"),
  ),
  raises("query")(
    "what was read does not count as seen",
    code("IfStatement:has([property.name='seen'])", ""),
  ),
  raises("commit")(
    "a replica hides the event that a commit came into conflict with",
    code("IfStatement[test.type='UnaryExpression'] ExpressionStatement:has(Identifier[name='seen'])", ""),
  ),
  raises("Replica")(
    "a server that is no standby is read",
    code("IfStatement:has([property.name='standby']) > .test", "false"),
  ),
];
