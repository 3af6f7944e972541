import postgres from "postgres";
import { namesOf } from "./src/names.ts";
import { insertText, insertQuery } from "./src/events/append.ts";
import { appendStatements } from "/tmp/wt/base/src/events/append.ts";
import { randomUUID } from "node:crypto";
const sql = postgres("postgres://postgres@127.0.0.1:5499/t1", { max: 1, fetch_types: false, onnotice() {} });
await sql.unsafe("set synchronous_commit=off; set plan_cache_mode=force_generic_plan; set jit=off");
const names = namesOf("s1", "smoke");
const oid = Number((await sql.unsafe("select 's1.smoke_id_seq'::regclass::oid::bigint as o"))[0].o);
const old = appendStatements(names as any, undefined);
let round = 0;
const variants: Record<string, (n: number) => { text: string; params: any[] }> = {
  old: (n) => old.insert(batch(n)) as any,
  new: (n) => insertQuery(insertText(names, { announce: false, headBy: "id", sequence: oid, deferred: false }, "x"), batch(n), oid) as any,
  newVersion: (n) => insertQuery(insertText(names, { announce: false, headBy: "version", sequence: oid, deferred: false }, "x"), batch(n), oid) as any,
};
function batch(n: number) { round++; return Array.from({ length: n }, (_, i) => ({ stream: `b${i}`, expected: null, meta: '{"correlation":"c","causation":{}}', token: randomUUID(), events: [{ name: "A", data: '{"n":1,"text":"hello world"}', pii: null, dates: "{}" }] })); }
for (const n of [1, 8, 32, 128]) {
  const res: Record<string, number[]> = {};
  for (let r = 0; r < 6; r++) for (const [name, make] of Object.entries(variants)) {
    const qs = Array.from({ length: 60 }, () => make(n));
    const t = performance.now();
    for (const q of qs) await sql.unsafe(q.text, q.params, { prepare: true });
    (res[name] ??= []).push((performance.now() - t) / 60);
  }
  console.log(n, Object.entries(res).map(([k, v]) => `${k} ${v.slice(1).sort((a, b) => a - b)[2].toFixed(3)} ms`).join("  "));
}
await sql.end();
{
const sql = postgres("postgres://postgres@127.0.0.1:5499/t1", { max: 1, fetch_types: false, onnotice() {} });
await sql.unsafe("set synchronous_commit=off; set plan_cache_mode=force_generic_plan; set jit=off");
for (const name of ["old", "new"]) {
  const q = variants[name](64);
  for (let i = 0; i < 5; i++) await sql.unsafe(q.text, q.params, { prepare: true }).catch(() => {});
  const q2 = variants[name](64);
  const rows = await sql.unsafe("explain (analyze, timing on) " + q2.text, q2.params, { prepare: true });
  console.log(name + "\n" + rows.map((r) => r["QUERY PLAN"]).join("\n"));
}
await sql.end();
}
