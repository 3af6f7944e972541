/** A model that cannot fail proves nothing: the reference passes it, and each defect is found. */
import { InMemoryStore, type Lease, type Query, type Schemas, type SubscribeInput } from "@rotorsoft/act";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { findDifference } from "./property.ts";
import { ReferenceStore } from "./reference.ts";
import type { Subject } from "./session.ts";

const SEED = 20_240_131;

// InMemoryStore waits for a timer in each verb: a millisecond, where nothing here needs any time to pass.
beforeAll(() => {
  const later = globalThis.setTimeout;
  vi.stubGlobal("setTimeout", (run: () => void, millis?: number) =>
    millis ? later(run, millis) : setImmediate(run),
  );
});
afterAll(() => vi.unstubAllGlobals());

const difference = (make: () => Subject, sequences: number) =>
  findDifference({ subject: async () => make(), firstId: 0, sequences, seed: SEED, raw: true });

/** The reference with InMemoryStore's own choice of ties. */
class Sound extends ReferenceStore {}

test("the reference does not differ from itself", async () => {
  expect(await difference(() => new Sound(), 60)).toBeUndefined();
});

/** One defect each; the contract's line first. */
const defects: Record<string, new () => Subject> = {
  "M1: InMemoryStore as it is, which checks the version of an empty commit": InMemoryStore,

  "M3: guards are off by one": class extends Sound {
    override commit: Sound["commit"] = (stream, msgs, meta, expected) =>
      super.commit(stream, msgs, meta, expected === undefined ? undefined : Math.max(expected, 0));
  },
  "Q5: `before` includes its event": class extends Sound {
    override query: Sound["query"] = (callback, query) =>
      super.query(callback, query?.before === undefined ? query : { ...query, before: query.before + 1 });
  },
  "Q7: an `after` does not disable the snapshot floor": class extends Sound {
    override query: Sound["query"] = (callback, query) => {
      if (!query?.with_snaps || !query.stream_exact) return super.query(callback, query);
      const { after: _, ...rest }: Query = query;
      return super.query(callback, rest);
    };
  },
  "D1: strings that look like dates come back as dates": class extends Sound {
    override query: Sound["query"] = (callback, query) =>
      super.query<Schemas>(
        (event) => callback({ ...event, data: JSON.parse(JSON.stringify(event.data), revive) } as never),
        query,
      );
  },
  "S3: a lower priority takes the lane": class extends Sound {
    override subscribe: Sound["subscribe"] = async (streams, ...rest) => {
      await super.subscribe(streams.map((s: SubscribeInput) => ({ ...s, priority: 99 })));
      return super.subscribe(streams, ...rest);
    };
  },
  "L2: no fair share, priority alone decides": class extends Sound {
    override claim: Sound["claim"] = async (lagging, leading, by, millis, lane) => {
      if (millis === 0) return super.claim(lagging, leading, by, millis, lane);
      const leases: Lease[] = [];
      for (let k = 0; k < lagging; k++) leases.push(...(await super.claim(1, 0, by, millis, lane)));
      return [...leases, ...(await super.claim(0, leading, by, millis, lane))];
    };
  },
  "L6: a late ack lands": class extends Sound {
    override ack: Sound["ack"] = async (leases: Lease[]) => {
      const holders = new Map<string, string | undefined>();
      await super.query_streams((p) => holders.set(p.stream, p.leased_by), { limit: 1_000 });
      return super.ack(leases.map((l) => ({ ...l, by: holders.get(l.stream) ?? l.by })));
    };
  },
  "L7: ack with `due` forgets the retries": class extends Sound {
    override ack: Sound["ack"] = (leases: Lease[]) =>
      super.ack(leases.map((l) => (l.due === undefined ? l : { ...l, retry: -1 })));
  },
  "L9: block ignores the holder": class extends Sound {
    override block: Sound["block"] = async (leases) => {
      const holders = new Map<string, string | undefined>();
      await super.query_streams((p) => holders.set(p.stream, p.leased_by), { limit: 1_000 });
      return super.block(leases.map((l) => ({ ...l, by: holders.get(l.stream) ?? l.by })));
    };
  },
  "R4: `before` is ignored": class extends Sound {
    override query_stats: Sound["query_stats"] = (input, options) =>
      super.query_stats(input, { ...options, before: undefined });
  },
  "R6: max_id is ignored": class extends Sound {
    override truncate: Sound["truncate"] = (targets) =>
      super.truncate(targets.map((t) => ({ ...t, max_id: undefined })));
  },
  "R7: a failed restore leaves the log empty": class extends Sound {
    override restore: Sound["restore"] = async (driver) => {
      let failure: unknown;
      await super.restore((insert) =>
        driver(insert).catch((error: unknown) => {
          failure = error;
        }),
      );
      if (failure) throw failure;
    };
  },
  "P1: forget_pii counts all events": class extends Sound {
    override forget_pii: Sound["forget_pii"] = async (stream) => {
      await super.forget_pii(stream);
      return this.head(stream) + 1;
    };
  },
};

for (const [name, Defect] of Object.entries(defects)) {
  test(`finds the defect ${name}`, async () => {
    const found = await difference(() => new Defect(), 1_000);
    expect(found ?? "no difference").toContain("The stores differ");
  });
}

function revive(_key: string, value: unknown): unknown {
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? new Date(value) : value;
}
