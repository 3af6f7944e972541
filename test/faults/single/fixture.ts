/** Commits called in one turn beside one that fails, and what each caller is told. */
import { StoreError } from "@rotorsoft/act";
import type { PostgresStore } from "../../../src/index.ts";
import { type DatabaseFixture, event, meta } from "../../postgres/fixture.ts";

/** How a commit ended: `ok`, or the code of its error's cause, or of what class it is, where the cause has none. */
export type Told = { readonly stream: string; readonly code: string; readonly error?: unknown };

export const tell = (stream: string, commit: Promise<unknown>): Promise<Told> =>
  commit.then(
    () => ({ stream, code: "ok" }),
    (error: unknown) => ({ stream, code: codeOf(error), error }),
  );

function codeOf(error: unknown): string {
  const cause = error instanceof StoreError ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  if (cause instanceof Error) return cause.message;
  return error instanceof Error ? error.name : String(error);
}

export type Neighbours = { readonly neighbours: readonly Told[]; readonly culprit: Told };

/** So many commits of one event, called in one turn, and in their middle one of an event with this name. */
export async function amongNeighbours(
  store: PostgresStore,
  count: number,
  name: string,
): Promise<Neighbours> {
  const commit = (stream: string, of: string) => tell(stream, store.commit(stream, [event(of)], meta));
  const half = Math.floor(count / 2);
  const before = Array.from({ length: half }, (_, k) => commit(`n${k}`, "Innocent"));
  const culprit = commit("culprit", name);
  const after = Array.from({ length: count - half }, (_, k) => commit(`n${half + k}`, "Innocent"));
  return { neighbours: await Promise.all([...before, ...after]), culprit: await culprit };
}

/** The streams that somebody was told a falsehood about: acknowledged and absent, or failed and there. */
export async function falsehoods(
  fixture: DatabaseFixture,
  store: PostgresStore,
  told: readonly Told[],
): Promise<string[]> {
  const there = new Map<string, number>();
  for (const { stream } of await fixture.rows(store)) there.set(stream, (there.get(stream) ?? 0) + 1);
  return told
    .filter(({ stream, code }) => (there.get(stream) ?? 0) !== (code === "ok" ? 1 : 0))
    .map(({ stream, code }) => `${stream}: ${code}, and ${there.get(stream) ?? 0} times in the log`);
}

/** How many ended in which way. */
export function count(told: readonly Told[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { code } of told) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

/** A trigger on the store's log; `body` is plpgsql, and `new` the row. It ends with RETURN. */
export async function putTrigger(
  fixture: DatabaseFixture,
  { config: { schema, table } }: PostgresStore,
  body: string,
  { deferred = false }: { readonly deferred?: boolean } = {},
): Promise<void> {
  const kind = deferred ? "constraint trigger own after insert" : "trigger own before insert";
  const when = deferred ? "deferrable initially deferred" : "";
  await fixture.sql.unsafe(`
    create function "${schema}"."${table}_own"() returns trigger language plpgsql as $$
      begin ${body} end $$;
    create ${kind} on "${schema}"."${table}" ${when} for each row execute function "${schema}"."${table}_own"()`);
}
