/** Export, import, archive and the erasure of personal data of a tenant whose tables are on a worker. */
import { Readable } from "node:stream";
import type { Message, Schemas } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import { Admin, decompress } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { memory } from "../backup/exported.ts";
import { titled } from "../faults/failover/programs.ts";
import { reason } from "./cluster.ts";
import { CitusTenants, meta } from "./tenants.ts";

const cluster = new CitusTenants();
const personal: Message<Schemas, string> = { name: "A", data: {}, pii: { name: "Ada" } };

async function eventsOf(store: PostgresStore): Promise<unknown[]> {
  const events: unknown[] = [];
  await store.query(({ id, stream, version, name, pii }) => {
    events.push({ id, stream, version, name, pii });
  });
  return events;
}

describe.skipIf(reason !== "")(titled("backups on Citus", reason), () => {
  cluster.open();

  test.each([true, false])("come back whole, with prepare: %s", async (prepare) => {
    const store = await cluster.tenant({ prepare });
    await cluster.nodeOf(store);
    for (const stream of ["a", "b"])
      await store.commit(
        stream,
        [personal, { name: "B", data: {} }, { name: "__tombstone__", data: {} }],
        meta,
      );
    expect([await store.forget_pii("a"), await store.forget_pii("a")]).toEqual([1, 0]);
    const before = await eventsOf(store);
    const admin = new Admin(store);

    const objects = new Map<string, string>();
    const target = {
      write: async (name: string, bytes: AsyncIterable<Uint8Array>) => {
        let text = "";
        for await (const piece of bytes) text += Buffer.from(piece).toString();
        objects.set(name, text);
      },
      read: async function* (name: string) {
        yield Buffer.from(objects.get(name) ?? "");
      },
    };
    const { events, files } = await admin.archive({ target, compression: "none" });
    expect(events).toBe(4);
    expect(await eventsOf(store)).toHaveLength(2);
    await admin.import(Readable.from([objects.get(files[0]?.file ?? "")]), { mode: "merge" });
    expect(await eventsOf(store)).toEqual(before);

    const copy = await cluster.tenant({ prepare });
    expect(await new Admin(copy).import(admin.export())).toMatchObject({ events: 6 });
    expect(await eventsOf(copy)).toEqual(before);
  });

  test("an archive deletes nothing if events come back while its file is written", async () => {
    const store = await cluster.tenant();
    const admin = new Admin(store);
    const { target } = memory();
    const tomorrow = new Date(Date.now() + 86_400_000);
    const events = [personal, { name: "__snapshot__", data: {} }];
    await store.commit("s", events, meta);
    const [first] = (await admin.archive({ target, before: tomorrow })).files;
    await store.commit("s", events, meta);
    const file = first?.file ?? "";
    let back = true;
    const during = {
      ...target,
      write: async (name: string, bytes: AsyncIterable<Uint8Array>) => {
        await target.write(name, bytes);
        if (back) await admin.import(decompress(target.read(file), "zstd"), { mode: "merge" });
        back = false;
      },
    };
    await expect(admin.archive({ target: during, before: tomorrow })).rejects.toThrow(
      "Nothing of it was deleted",
    );
    expect(await eventsOf(store)).toHaveLength(4);
  });
});
