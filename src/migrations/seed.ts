/**
 * seed(): brings the store's tables to the shape of this release, whatever made them. Nothing is dropped,
 * nothing is rewritten that holds events. Drizzle's own migrate() takes no lock (25 of 30 concurrent boots
 * failed) and skips a library's migration that is older than the app's newest; so the shipped migrations
 * are applied here, under a lock, object by object, and recorded in the events table's comment.
 */
import { log } from "@rotorsoft/act";
import type { Query, Row } from "../connections/index.ts";
import type { Context } from "../context.ts";
import { sanitize, toStoreError } from "../errors.ts";
import { literal, type Names } from "../names.ts";
import { adopt } from "./adopt.ts";
import { planOf, recordedVersion, type Step, VERSION, withRecord } from "./plan.ts";

export type Run = (query: Query) => Promise<readonly Row[]>;

/** All stores of a database seed one after the other: they may share a schema that is not there yet. */
const LOCK = "select pg_advisory_xact_lock(hashtext('act-drizzle:seed'))";

const stateText = ({ schema, table }: Names): string => {
  const regclass = (name: string) => `to_regclass(${literal(`"${schema}"."${name}"`)})`;
  return `select obj_description(${regclass(table)}, 'pg_class') as comment,
  ${regclass(table)} is not null and ${regclass(`${table}_streams`)} is not null and ${regclass(`${table}_correlated`)} is not null as complete`;
};

function isCurrent(row: Row | undefined, { schema, table }: Names): boolean {
  const version = recordedVersion(row?.comment);
  if (version !== undefined && version > VERSION)
    throw new Error(
      `"${schema}"."${table}" was made by a newer act-drizzle (schema ${version}, this release knows ${VERSION}): upgrade the package`,
    );
  return version === VERSION && row?.complete === true;
}

/**
 * Creates or completes schema, tables and indexes. Idempotent; safe with any number of processes at once; on
 * an up-to-date schema it is one look at the catalog, without any lock.
 *
 * @throws StoreError; the database is then as it was before.
 */
export async function seed({ names, connections }: Context): Promise<void> {
  try {
    const [state] = await connections.read("seed", { text: stateText(names) });
    if (isCurrent(state, names)) return;
    const done = await connections.session("seed", (run) => migrate(run, names));
    if (done.length > 0)
      log().info(`[act-drizzle] seed "${names.schema}"."${names.table}": ${done.join(", ")}`);
  } catch (error) {
    const wrapped = toStoreError("seed", error);
    const cause = wrapped.cause instanceof Error ? wrapped.cause : sanitize(error);
    log().error(`[act-drizzle] seed "${names.schema}"."${names.table}" failed: ${cause.message}`);
    throw wrapped;
  }
}

async function migrate(run: Run, names: Names): Promise<string[]> {
  const { schema, table } = names;
  await run({ text: "begin isolation level read committed" });
  await run({ text: LOCK });
  const [before] = await run({ text: stateText(names) });
  const done: string[] = [];
  if (!isCurrent(before, names)) {
    const [found] = await run({
      text: `select to_regnamespace(${literal(`"${schema}"`)}) is not null as present`,
    });
    if (found?.present !== true) {
      await run({ text: `create schema "${schema}"` });
      done.push(`schema "${schema}" created`);
    }
    await run({ text: `set local search_path = "${schema}"` });
    done.push(...(await adopt(run, names)));
    for (const step of planOf(names)) done.push(...(await apply(run, names, step)));
    done.push(...(await settle(run, names)));
    const [owner] = await run({
      text: `select pg_has_role(relowner, 'usage') as owned, obj_description(oid, 'pg_class') as comment
  from pg_class where oid = to_regclass(${literal(`"${schema}"."${table}"`)})`,
    });
    // A role that does not own a complete schema works on it all the same; it looks again at the next boot.
    if (owner?.owned === true)
      await run({ text: `comment on table ${names.events} is ${literal(withRecord(owner.comment))}` });
  }
  await run({ text: "commit" });
  return done;
}

async function apply(run: Run, { schema }: Names, step: Step): Promise<string[]> {
  if (step.kind === "other") {
    if (await mayAlter(run, schema, step.sql)) await run({ text: step.sql });
    return [];
  }
  const present = await relationKind(run, schema, step.name);
  if (present === undefined) {
    await run({ text: step.sql });
    return [`${step.kind} "${step.name}" created`];
  }
  if (step.kind === "index") return [];
  if (present !== "r" && present !== "p")
    throw new Error(`"${schema}"."${step.name}" exists and is not a table: choose another table name`);
  const columns = new Set(
    (
      await run({
        text: `select attname as name from pg_attribute
  where attrelid = to_regclass(${literal(`"${schema}"."${step.name}"`)}) and attnum > 0 and not attisdropped`,
      })
    ).map((row) => row.name),
  );
  const done: string[] = [];
  for (const { name, definition } of step.columns) {
    if (columns.has(name)) continue;
    if (/PRIMARY KEY/.test(definition))
      throw new Error(
        `"${schema}"."${step.name}" exists without its key "${name}": it is not a table of this store`,
      );
    await run({ text: `alter table "${schema}"."${step.name}" add column "${name}" ${definition}` });
    done.push(`column "${step.name}"."${name}" added`);
  }
  return done;
}

async function relationKind(run: Run, schema: string, name: string): Promise<unknown> {
  const [row] = await run({
    text: `select c.relkind from pg_class c where c.oid = to_regclass(${literal(`"${schema}"."${name}"`)})`,
  });
  return row?.relkind;
}

/** Storage settings are only set by an owner, and only where they differ: setting them takes a lock. */
async function mayAlter(run: Run, schema: string, sql: string): Promise<boolean> {
  const [, name, options] = /^ALTER TABLE "([^"]+)" SET \((.*)\);?$/.exec(sql) ?? [];
  if (!name || !options) return true;
  const [row] = await run({
    text: `select pg_has_role(relowner, 'usage') as owned, reloptions::text as options
  from pg_class where oid = to_regclass(${literal(`"${schema}"."${name}"`)})`,
  });
  const current = String(row?.options ?? "");
  const wanted = options.split(",").map((o) => o.replaceAll(" ", ""));
  return row?.owned === true && wanted.some((option) => !current.includes(option));
}

/** A cached sequence would hand out ids out of order to concurrent sessions. */
async function settle(run: Run, { schema, table }: Names): Promise<string[]> {
  const [row] = await run({
    text: `select format('%I.%I', n.nspname, c.relname) as name, s.seqcache as cache from pg_sequence s
  join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
  where s.seqrelid = pg_get_serial_sequence(${literal(`"${schema}"."${table}"`)}, 'id')::regclass`,
  });
  if (!row || Number(row.cache) === 1) return [];
  await run({ text: `alter sequence ${String(row.name)} cache 1` });
  return ["sequence cache set to 1"];
}
