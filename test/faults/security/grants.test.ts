/** What each grant of docs/guides/security.md is for: without it these verbs fail, and only these. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { everyVerb } from "../../input/verbs.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { grantsFor } from "./grants.ts";

const fixture = useDatabase();

const lacking: Record<string, { readonly revoke: string; readonly fails: readonly string[] }> = {
  nothing: { revoke: "", fails: [] },
  "delete on events": { revoke: "revoke delete on EVENTS", fails: ["truncate", "restore"] },
  "delete on the subscriptions": { revoke: "revoke delete on EVENTS_streams", fails: ["restore"] },
  "delete on the checkpoints": { revoke: "revoke delete on EVENTS_correlated", fails: ["restore"] },
  "update on the sequence": { revoke: "revoke update on sequence EVENTS_id_seq", fails: ["restore"] },
  "update on events": { revoke: "revoke update on EVENTS", fails: ["forget_pii"] },
  "insert on events": { revoke: "revoke insert on EVENTS", fails: ["commit", "truncate", "restore"] },
};

const cases = Object.entries(lacking).map(([grant, of]) => ({ grant, ...of }));
test.for(cases)("a role that lacks $grant", async ({ revoke, fails }, context) => {
  const owner = await fixture.seeded();
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  const { schema, table } = owner.config;
  await fixture.sql.unsafe(grantsFor({ schema, table, role: role.user }));
  const named = revoke.replace(/EVENTS(\w*)/, (__, suffix: string) => `"${schema}"."${table}${suffix}"`);
  if (named) await fixture.sql.unsafe(`${named} from ${role.user}`);
  const store = fixture.store({ table, ...role });
  await store.seed();
  const failed: string[] = [];
  for (const [verb, call] of Object.entries(everyVerb(store)))
    await call().catch((error: unknown) => {
      failed.push(verb);
      expect(error, verb).toBeInstanceOf(StoreError);
      expect(error, verb).toMatchObject({ cause: { code: "42501" } });
    });
  expect(failed).toEqual(fails);
});
