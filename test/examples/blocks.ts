/** The TypeScript blocks of a page, as the files of a project that a reader would make of them. */
import { posix } from "node:path";

/** What is taken as given in a block that shows a part only. */
const GIVEN: Readonly<Record<string, string>> = {
  PostgresStore: 'import { PostgresStore } from "act-drizzle";',
  actTables: 'import { actTables } from "act-drizzle/schema";',
  act: 'import { act } from "@rotorsoft/act";',
  store: 'import { store } from "@rotorsoft/act";',
  readFileSync: 'import { readFileSync } from "node:fs";',
  db: 'import { db } from "./src/db/index.ts";',
  kms: "declare const kms: { decrypt(key: Uint8Array): Promise<Uint8Array> };",
  wrapped: "declare const wrapped: Uint8Array;",
  vault: "declare const vault: { find(stream: string): Promise<Uint8Array | undefined> };",
  signer: "declare const signer: { getAuthToken(): Promise<string> };",
};

/** The reader's own files, which a page adds to. */
const OWN: Readonly<Record<string, string>> = {
  "src/db/index.ts": `import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import * as schema from "./schema.ts";
export const db = drizzle(postgres(), { schema });
`,
  "src/db/schema.ts": `import { pgTable, text } from "drizzle-orm/pg-core";
export const users = pgTable("users", { name: text("name").primaryKey() });
`,
};

const BLOCK = /(?:<!-- (\S+\.ts) -->\n)?^```(?:ts|typescript)\n(.*?)^```$/gms;

/** Imports of what the block uses and neither imports nor declares. */
function given(code: string): string {
  const bare = code.replaceAll(/\/\/[^\n]*|\/\*.*?\*\//gs, "").replaceAll(/"[^"\n]*"/g, "");
  const names = Object.keys(GIVEN).filter((name) => {
    const known = new RegExp(`import[^;]*\\b${name}\\b[^;]*from|(?:const|function) ${name}\\b`);
    return new RegExp(`(?<![.\\w])${name}\\b`).test(bare) && !known.test(bare);
  });
  return names.map((name) => `${GIVEN[name]}\n`).join("");
}

/** Path → content. A block whose first line or the comment before it names a file belongs to that file. */
export function filesOf(page: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [, shown, code = ""] of page.matchAll(BLOCK)) {
    const [, named] = /^\/\/ ([\w./-]+\.ts)\b/.exec(code) ?? [];
    const path = shown || named || `block-${files.size + 1}.ts`;
    const before = files.get(path) ?? OWN[path] ?? "";
    files.set(path, `${before}${before ? code : given(code) + code}\nexport {};\n`);
  }
  const imports = [...files].flatMap(([path, text]) =>
    [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, to = ""]) => posix.join(posix.dirname(path), to)),
  );
  for (const path of imports.includes("src/db/index.ts") ? Object.keys(OWN) : [])
    files.set(path, files.get(path) ?? OWN[path] ?? "");
  return files;
}
