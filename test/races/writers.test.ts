/** Lines M2, M3, M8, M9: many writers, one stream. */
import { ConcurrencyError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { dense, meta, underEveryIsolation, versions } from "./fixture.ts";

const WRITERS = 64;

/** Writers take turns on the stores. */
const of = (stores: readonly [PostgresStore, ...PostgresStore[]], writer: number) =>
  stores[writer % stores.length] ?? stores[0];

underEveryIsolation("64 writers on one stream", (fixture) => {
  test("M3: with the same expectedVersion, one wins each version and the others learn the real head", async () => {
    const name = fixture.table();
    const stores = await fixture.stores(name, 4);
    const rounds = fixture.scale(25, 5);
    const winners: unknown[] = [];

    for (let version = 0; version < rounds; version++) {
      const attempts = await Promise.allSettled(
        dense(WRITERS).map((writer) => {
          const event = { name: "Tried", data: { writer, version } };
          return of(stores, writer).commit("s", [event], meta, version - 1);
        }),
      );
      const won = attempts.flatMap((a) => (a.status === "fulfilled" ? a.value : []));
      const lost = attempts.flatMap((a) => (a.status === "rejected" ? [a.reason] : []));

      expect(won).toMatchObject([{ stream: "s", version }]);
      expect(lost).toHaveLength(WRITERS - 1);
      for (const error of lost) {
        expect(error).toBeInstanceOf(ConcurrencyError);
        expect(error).toMatchObject({ stream: "s", lastVersion: version, expectedVersion: version - 1 });
      }
      winners.push(won[0]?.data);
    }

    const rows = await fixture.rows(name);
    expect(versions(rows)).toEqual(dense(rounds));
    expect(rows.map(({ data }) => data)).toEqual(winners);
  });

  test("M9: lost races burn no ids", async () => {
    const name = fixture.table();
    const stores = await fixture.stores(name, 4);
    const [first] = await stores[0].commit("s", [{ name: "Tried", data: {} }], meta);
    await Promise.allSettled(
      dense(WRITERS).map((k) => of(stores, k).commit("s", [{ name: "Tried", data: {} }], meta, 5)),
    );
    const [next] = await of(stores, 1).commit("s", [{ name: "Tried", data: {} }], meta);

    expect(next?.id).toBe((first?.id ?? 0) + 1);
    expect(await fixture.issued(name)).toBe(2);
  });

  test("M8: retrying with the head they are told, all land, versions and ids without a gap", async () => {
    const name = fixture.table();
    const stores = await fixture.stores(name, 4);
    const each = fixture.scale(6, 2);
    let conflicts = 0;

    await Promise.all(
      dense(WRITERS).map(async (writer) => {
        let head = -1;
        for (let k = 0; k < each; ) {
          try {
            const event = { name: "Tried", data: { writer, k } };
            const committed = await of(stores, writer).commit("s", [event, event], meta, head);
            head = committed.at(-1)?.version ?? head;
            k++;
          } catch (error) {
            if (!(error instanceof ConcurrencyError)) throw error;
            expect(error.lastVersion).toBeGreaterThan(head);
            head = error.lastVersion;
            conflicts++;
          }
        }
      }),
    );

    const rows = await fixture.rows(name);
    expect(versions(rows)).toEqual(dense(WRITERS * each * 2));
    expect(await fixture.issued(name)).toBe(rows.length);
    expect(conflicts).toBeGreaterThan(0);
  });

  test("M4: unguarded, none conflicts and each commit stays whole", async () => {
    const name = fixture.table();
    const stores = await fixture.stores(name, 4);
    const each = fixture.scale(8, 2);
    await Promise.all(
      dense(WRITERS).map(async (writer) => {
        for (let k = 0; k < each; k++) {
          const events = dense(3).map((part) => ({ name: "Tried", data: { writer, k, part } }));
          await of(stores, writer).commit(`s-${writer % 5}`, events, meta);
        }
      }),
    );

    const rows = await fixture.rows(name);
    expect(rows).toHaveLength(WRITERS * each * 3);
    for (let s = 0; s < 5; s++) {
      const stream = rows.filter((row) => row.stream === `s-${s}`);
      expect(versions(stream)).toEqual(dense(stream.length));
      for (let k = 0; k < stream.length; k += 3) {
        const commit = stream.slice(k, k + 3);
        expect(commit.map(({ data }) => data.part)).toEqual([0, 1, 2]);
        expect(new Set(commit.map(({ data }) => `${data.writer}/${data.k}`)).size).toBe(1);
      }
    }
  });
});
