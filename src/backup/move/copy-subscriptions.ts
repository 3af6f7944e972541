/** Copies subscriptions and checkpoints as they stand, but for leases: their holders work on the old server. */
import type { Context } from "../../context.ts";
import type { Run } from "../../postgres/index.ts";
import type { Names } from "../../schema/names.ts";
import { fill } from "./target.ts";

const PAGE = 5_000;

/** From the tables that `run` sees. Returns the number of subscriptions. */
export async function copySubscriptions(run: Run, names: Names, target: Context): Promise<number> {
  const { streams, correlated } = target.names;
  let count = 0;
  await fill(target, async (write) => {
    await write({ text: `delete from ${streams}` });
    await write({ text: `delete from ${correlated}` });
    const copy = async (from: string, to: string, key: string) => {
      for (let after: unknown = ""; ; ) {
        const rows = await run({
          text: `select ${key} as key, to_jsonb(r)::text as line from ${from} r
  where ${key} ${after === "" ? ">=" : ">"} $1::text collate "C" order by ${key} collate "C" limit ${PAGE}`,
          params: [String(after)],
        });
        if (rows.length === 0) return;
        after = rows.at(-1)?.key;
        if (to === streams) count += rows.length;
        await write({
          text: `insert into ${to} select r.* from jsonb_array_elements($1::jsonb) j(line)
  cross join jsonb_populate_record(null::${to}, j.line - 'leased_by' - 'leased_until') r`,
          params: [`[${rows.map(({ line }) => line).join(",")}]`],
        });
        if (rows.length < PAGE) return;
      }
    };
    await copy(names.streams, streams, "stream");
    await copy(names.correlated, correlated, "key");
  });
  return count;
}
