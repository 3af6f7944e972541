/**
 * The log that a move fills. Nobody else can write to it until it is complete. A process that commits to it too early gets an
 * error, and does not begin a log of its own there.
 */
import type { Context } from "../../context.ts";
import { wipe } from "../../events/restore.ts";
import type { Run } from "../../postgres/index.ts";
import { lockQuery } from "../../schema/append-lock.ts";
import type { Names } from "../../schema/names.ts";
import { assertEmpty } from "../import.ts";

export const GUARD = "act_drizzle_filling";
const SETTING = "act_drizzle.filling";
const ALLOWED = `set_config('${SETTING}', 'on', true)`;

export const guardFunction = ({ schema, table }: Names): string => `"${schema}"."${table}_filling"`;

/**
 * Runs a transaction that may write to the target. It resolves once COMMIT is flushed to disk, because the source then
 * forgets which events had changed.
 */
export const fill = (target: Context, work: (run: Run) => Promise<void>): Promise<void> =>
  target.connections.session("move", async (run) => {
    await run({ text: `select ${ALLOWED}, set_config('synchronous_commit', 'on', true)` });
    await work(run);
  });

/** Lets everybody write to the target once the transaction of `run` has committed. */
export async function openTarget(run: Run, names: Names): Promise<void> {
  await run({ text: `drop trigger if exists ${GUARD} on ${names.events}` });
  await run({ text: `drop function if exists ${guardFunction(names)}()` });
}

const OTHER_TARGET =
  'Move to a new schema, or, if the log is the copy of an earlier attempt, with "again: true", which deletes it. Nothing was moved.';

/** From here on only {@link fill} can write to the target. `again`: deletes what an earlier attempt has copied. */
export const closeTarget = (target: Context, again: boolean): Promise<void> =>
  fill(target, async (run) => {
    const { names } = target;
    await openTarget(run, names);
    await run(lockQuery(names));
    if (again) await wipe(run, names);
    else await assertEmpty(run, names, OTHER_TARGET);
    await run({
      text: `create function ${guardFunction(names)}() returns trigger language plpgsql as $$
begin
  raise exception using errcode = '55000', message = 'act-drizzle: this log is being filled by a move',
    hint = 'Use the old store until the move has ended. If no move is running, repeat it with "again: true".';
end $$`,
    });
    await run({
      text: `create trigger ${GUARD} before insert or update or delete or truncate on ${names.events} for each statement
when (current_setting('${SETTING}', true) is distinct from 'on') execute function ${guardFunction(names)}()`,
    });
    await run({ text: `alter table ${names.events} enable always trigger ${GUARD}` });
  });
