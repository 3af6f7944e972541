/** A restore or a fail-over may set ids back: what an earlier connection knew is no bound any more. */
import { expect, test } from "vitest";
import { InDoubtError } from "../../src/events/appender.ts";
import { commit, end, fixture, isInsert, lose, type Sent, stored } from "./fixture.ts";

/** Every commit of the batch meets another head: nothing is stored, and no id is learned. */
const conflict = (sent: Sent) =>
  stored(sent).map((answer, i) =>
    isInsert(sent.queries[i]?.text ?? "")
      ? { ...answer, rows: [{ heads: "{5}", accepted: "{f}", ids: null, created: 5 }] }
      : answer,
  );

test("a batch in doubt is looked for behind what its own connection was told, not an earlier one", async () => {
  let lastId = 1_000;
  let turn = 0;
  const facts = {
    ids_indexed: true,
    id_sequence: 7,
    get last_id() {
      return lastId;
    },
  };
  const { appender } = fixture({
    facts,
    send: (sent) => {
      turn++;
      if (turn === 2) return end("57P01");
      return turn === 4 ? lose() : conflict(sent);
    },
  });
  const append = () => appender.append([commit("s")], Number.POSITIVE_INFINITY, () => {});
  await append();
  await append().catch(() => {});
  lastId = 500;
  await append();
  const error = await append().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InDoubtError);
  expect(error).toMatchObject({ transaction: { after: 500 } });
});
