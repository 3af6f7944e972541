/**
 * `npm run docs:api`: the API reference, by TypeDoc from the docstrings, as Markdown in docs/api, where the docs site picks it
 * up. It is neither committed nor published. TypeDoc needs a TypeScript below 6.1, and this repository has 7: so npm fetches
 * the versions below into its cache, and nothing of them into node_modules.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourcesOfEntries } from "../dev/entries.ts";

const ROOT = join(import.meta.dirname, "..");
const PACKAGES = ["typedoc@0.28.20", "typedoc-plugin-markdown@4.14.1", "typescript@5.9.3"];

const fetched = PACKAGES.map((name) => `--package=${name}`);
const found = execFileSync("npm", ["exec", "--yes", ...fetched, "--call", "command -v typedoc"], {
  cwd: ROOT,
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
// …/node_modules/typedoc/bin/typedoc
const typedoc = realpathSync(found.trim());
const plugin = join(typedoc, "../../../typedoc-plugin-markdown/dist/index.js");

const home = mkdtempSync(join(tmpdir(), "act-drizzle-api-"));
const config = join(home, "typedoc.json");
const options = {
  entryPoints: [...sourcesOfEntries().values()].map((source) => fileURLToPath(source)),
  plugin: [plugin],
  tsconfig: join(ROOT, "tsconfig.json"),
  out: join(ROOT, "docs/api"),
  name: "API",
  readme: "none",
  entryFileName: "index",
  githubPages: false,
  disableSources: true,
  excludePrivate: true,
  hideBreadcrumbs: true,
  // A public name without a docstring fails the run, as every other warning does.
  validation: { notDocumented: true },
  requiredToBeDocumented: ["Class", "Function", "Method", "TypeAlias", "Variable"],
  treatWarningsAsErrors: true,
  // What public types are made of: their pages show it in place.
  intentionallyNotExported: [
    "Announcing",
    "CHECKS",
    "Config",
    "CONNECTION_ERRORS",
    "Database",
    "Depth",
    "Drainable",
    "ErrorLike",
    "Event",
    "EventsOf",
    "InlineHandler",
    "InlineQuery",
    "Key",
    "ListenerState",
    "Numbered",
    "OTHER_CODES",
    "Payload",
    "Pending",
    "ReplicaState",
    "Resetting",
    "Rest",
    "Schema",
    "SchemaMap",
    "SchemaOf",
    "Seedable",
    "SendInline",
    "Shapes",
    "Sharing",
    "SQL_STATES",
    "SSL_MODES",
    "StateRow",
    "Steps",
    "StoredEvent",
    "StoreOption",
    "StoreReason",
    "StreamInput",
    "Tables",
    "TARGET_SESSION_ATTRS",
    "Targets",
    "Typed",
  ],
};
try {
  writeFileSync(config, JSON.stringify(options));
  const { status } = spawnSync(process.execPath, [typedoc, "--options", config], {
    cwd: ROOT,
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(home, { recursive: true, force: true });
}
