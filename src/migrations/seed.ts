/**
 * seed(): brings the store's tables to the shape of this release, whatever made them. Nothing is dropped,
 * nothing is rewritten that holds events. Drizzle's own migrate() takes no lock (25 of 30 concurrent boots
 * failed) and skips a library's migration that is older than the app's newest; so the shipped migrations
 * are applied here, under a lock, object by object, and recorded in the events table's comment.
 */
import { log } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { sanitize, toStoreError } from "../errors.ts";
import type { Row } from "../postgres/index.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { idCapacityColumns, LAST_ID, warnOfIdCapacity } from "../schema/id-capacity.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import { adopt } from "./adopt-act-pg.ts";
import { hasNarrowIds, introspectIndex, introspectTable, introspectTables, regclass } from "./introspect.ts";
import { type Run, withMigrationLock } from "./migration-lock.ts";
import { migrationSteps, type Step } from "./migration-steps.ts";
import { actionFor, recordOf, VERSION, withRecord } from "./record.ts";

/**
 * All columns of this release are there. The record alone does not say so: `drizzle-kit push` from an older release's
 * schema drops what that does not know, and leaves the comment.
 */
function completeText(names: Names): string {
  const columns = new Map<string, string[]>();
  for (const step of migrationSteps(names))
    if (step.kind === "table" || step.kind === "columns") {
      const known = columns.get(step.name) ?? [];
      columns.set(step.name, [...known, ...step.columns.map(({ name }) => literal(name))]);
    }
  const counts = [...columns].map(
    ([table, list]) => `(select count(*) from pg_attribute where attrelid = ${regclass(names.schema, table)}
    and not attisdropped and attname in (${list.join(", ")})) = ${list.length}`,
  );
  return counts.join(" and ");
}

const stateText = (names: Names): string => `select
  obj_description(${regclass(names.schema, names.table)}, 'pg_class') as comment,
  ${completeText(names)} as complete,
  ${idCapacityColumns(names)}`;

function isCurrent(row: Row | undefined, { schema, table }: Names): boolean {
  const record = recordOf(row?.comment);
  const action = actionFor(record);
  if (action === "refuse")
    throw new Error(
      `"${schema}"."${table}" was made by a newer act-drizzle (schema ${record?.oldest}, this release knows ${VERSION}): upgrade the package`,
    );
  return action === "nothing" && row?.complete === true;
}

/**
 * Creates or completes schema, tables and indexes. Idempotent; safe with any number of processes at once; on
 * an up-to-date schema it looks at the catalog and at the log's last id, and nobody waits for it.
 *
 * @throws StoreError; the database is then as it was before.
 */
export async function seed({ names, connections }: Context): Promise<void> {
  try {
    const [state] = await connections.read("seed", { text: stateText(names) });
    warnOfIdCapacity(names, state);
    const current = isCurrent(state, names);
    if (current && (await connections.read("seed", { text: behindText(names) })).length === 0) return;
    const work = current ? advanceSequence : migrate;
    const done = await withMigrationLock(connections, "seed", (run) => work(run, names));
    if (done.length > 0)
      log().info(`[act-drizzle] seed "${names.schema}"."${names.table}": ${done.join(", ")}`);
  } catch (error) {
    const wrapped = toStoreError("seed", error);
    const cause = wrapped.cause instanceof Error ? wrapped.cause : sanitize(error);
    log().error(`[act-drizzle] seed "${names.schema}"."${names.table}" failed: ${cause.message}`);
    throw wrapped;
  }
}

/** What was done, in words. */
async function migrate(run: Run, names: Names): Promise<string[]> {
  const { schema, table } = names;
  const [before] = await run({ text: stateText(names) });
  if (isCurrent(before, names)) return [];
  const done: string[] = [];
  const [found] = await run({
    text: `select to_regnamespace(${literal(`"${schema}"`)}) is not null as present`,
  });
  if (found?.present !== true) {
    await run({ text: `create schema "${schema}"` });
    done.push(`schema "${schema}" created`);
  }
  await run({ text: `set local search_path = "${schema}"` });
  const tables = await introspectTables(run, names);
  done.push(...(await adopt(run, names, tables)));
  for (const step of migrationSteps(names, { narrow: hasNarrowIds(tables.events) }))
    done.push(...(await apply(run, names, step)));
  // An index on an expression has statistics of its own, and a table that no longer grows is not looked at again.
  if (tables.events && done.some((what) => what.startsWith("index ")))
    await run({ text: `analyze ${names.events}, ${names.streams}` });
  done.push(...(await settleSequence(run, names)));
  if (tables.events) done.push(...(await advanceSequence(run, names)));
  const events = await introspectTable(run, schema, table);
  // A role that does not own a complete schema works on it all the same; it looks again at the next boot.
  if (events?.owned)
    await run({ text: `comment on table ${names.events} is ${literal(withRecord(events.comment))}` });
  return done;
}

async function apply(run: Run, { schema }: Names, step: Step): Promise<string[]> {
  switch (step.kind) {
    case "table":
    case "columns":
      return applyColumns(run, schema, step);
    case "index":
      return applyIndex(run, schema, step);
    case "storage":
      return applyStorage(run, schema, step);
  }
}

async function applyColumns(
  run: Run,
  schema: string,
  step: Step & { kind: "table" | "columns" },
): Promise<string[]> {
  const found = await introspectTable(run, schema, step.name);
  if (step.kind === "table" && !found) {
    await run({ text: step.sql });
    return [`table "${step.name}" created`];
  }
  const done: string[] = [];
  for (const { name, definition } of step.columns) {
    if (found?.columns.has(name)) continue;
    await run({ text: `alter table "${schema}"."${step.name}" add column "${name}" ${definition}` });
    done.push(`column "${step.name}"."${name}" added`);
  }
  return done;
}

async function applyIndex(run: Run, schema: string, step: Step & { kind: "index" }): Promise<string[]> {
  const found = await introspectIndex(run, schema, step.name);
  if (!found) {
    await run({ text: step.sql });
    return [`index "${step.name}" created`];
  }
  if (found.table !== step.table)
    throw new Error(
      `"${schema}"."${step.name}" is not an index of "${step.table}": rename it, or choose another table name. Nothing was changed`,
    );
  if (step.unique && !found.unique)
    throw new Error(
      `the index "${schema}"."${step.name}" is not unique: drop it, and seed() creates it. Nothing was changed`,
    );
  if (found.valid) return [];
  await run({ text: `drop index "${schema}"."${step.name}"` });
  await run({ text: step.sql });
  return [`index "${step.name}" was invalid and is rebuilt`];
}

/** Storage settings are only set by an owner, and only where nobody chose others: setting them takes a lock. */
async function applyStorage(run: Run, schema: string, step: Step & { kind: "storage" }): Promise<string[]> {
  const found = await introspectTable(run, schema, step.name);
  const missing = step.options.filter(({ name }) => found?.owned && !found.options.has(name));
  if (missing.length === 0) return [];
  const list = missing.map(({ name, value }) => `${name} = ${value}`).join(", ");
  await run({ text: `alter table "${schema}"."${step.name}" set (${list})` });
  return [];
}

/**
 * A cached sequence would hand out ids out of order to concurrent sessions; ids beyond 2^53 would be read as
 * others. Only an owner can shorten the sequence, and needs to only once.
 */
async function settleSequence(run: Run, names: Names): Promise<string[]> {
  const [row] = await run({
    text: `select format('%I.%I', n.nspname, c.relname) as name, s.seqcache as cache,
    s.seqmax > ${LAST_ID} and pg_has_role(c.relowner, 'usage') as endless from pg_sequence s
  join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
  where s.seqrelid = ${idSequence(names)}`,
  });
  if (!row) return [];
  const name = String(row.name);
  const done: string[] = [];
  if (Number(row.cache) !== 1) {
    await run({ text: `alter sequence ${name} cache 1` });
    done.push("sequence cache set to 1");
  }
  if (row.endless === true) await run({ text: `alter sequence ${name} maxvalue ${LAST_ID}` });
  return done;
}

/** The ids' sequence if it stands behind the log; no row if not, or if the role may not see it. */
const behindText = (
  names: Names,
): string => `select format('%I.%I', n.nspname, c.relname) as name from pg_class c
join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)}
  and has_sequence_privilege(c.oid, 'usage, select')
  and coalesce(pg_sequence_last_value(c.oid), 0) < (select max(id) from ${names.events})`;

/**
 * A log that was copied, as logical replication does, comes without the sequence's position: new ids would collide
 * with the log's, or appear below what readers have seen. Appends wait meanwhile, so that none draws an id.
 */
async function advanceSequence(run: Run, names: Names): Promise<string[]> {
  const [behind] = await run({ text: behindText(names) });
  if (!behind) return [];
  await run({ text: lockQuery(names) });
  const name = String(behind.name);
  const [moved] = await run({
    text: `select setval(${literal(name)}, greatest((select max(id) from ${names.events}), last_value)) as at from ${name}`,
  });
  return [`sequence moved to ${moved?.at}, the log's last id`];
}
