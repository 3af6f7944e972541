/** The files of the page that Vite has built. Each is compressed at most once for each encoding. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Context } from "hono";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8",
};
const COMPRESSED = new Set([".html", ".js", ".css", ".svg", ".json", ".txt"]);

const compressions = {
  br: (bytes: Buffer) =>
    promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
  gzip: (bytes: Buffer) => promisify(gzip)(bytes, { level: 9 }),
} as const;
type Encoding = keyof typeof compressions;

type File = {
  readonly bytes: Buffer;
  readonly extension: string;
  /** Its name changes with its content, so that it may be kept for ever. */
  readonly hashed: boolean;
  readonly encoded: Map<Encoding, Promise<Buffer>>;
};

/** Where the built page is: in the installed package, and in the repository. */
const FOLDERS = ["../console/", "../../dist/console/"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

const isBuilt = (folder: string) =>
  statSync(join(folder, "index.html"), { throwIfNoEntry: false })?.isFile() === true;

/** Reads all files at the start, so that no request reads outside the folder. Undefined if the page was not built. */
export function pageFiles(folder = FOLDERS.find(isBuilt)): ReadonlyMap<string, File> | undefined {
  if (folder === undefined || !isBuilt(folder)) return undefined;
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return new Map(
    paths
      .filter((path) => statSync(join(folder, path)).isFile())
      .map((path) => {
        const name = path.replaceAll("\\", "/");
        return [
          `/${name}`,
          {
            bytes: readFileSync(join(folder, path)),
            extension: extname(name),
            hashed: name.startsWith("assets/"),
            encoded: new Map(),
          },
        ];
      }),
  );
}

const encodingOf = (c: Context, { extension }: File): Encoding | undefined => {
  if (!COMPRESSED.has(extension)) return undefined;
  const accepted = c.req.header("accept-encoding") ?? "";
  return (["br", "gzip"] as const).find((name) => new RegExp(`\\b${name}\\b`).test(accepted));
};

/** A file of the page, or the page itself for every other path: its views have addresses of their own. */
export async function servePage(c: Context, files: ReadonlyMap<string, File> | undefined): Promise<Response> {
  if (!files) return c.text("The page was not built. In the repository: npm run build\n", 503);
  const asked = files.get(c.req.path);
  // After an update an old page asks for old scripts. A missing file must not be answered with the page.
  if (
    !asked &&
    (c.req.path.startsWith("/assets/") || (extname(c.req.path) !== "" && TYPES[extname(c.req.path)]))
  )
    return c.text("There is no such file.\n", 404);
  const file = asked ?? files.get("/index.html");
  if (!file) return c.text("There is no such file.\n", 404);
  const headers = new Headers({
    "content-type": TYPES[file.extension] ?? "application/octet-stream",
    "cache-control": file.hashed ? "public, max-age=31536000, immutable" : "no-cache",
    vary: "accept-encoding",
  });
  const encoding = encodingOf(c, file);
  if (!encoding) return new Response(new Uint8Array(file.bytes), { headers });
  let body = file.encoded.get(encoding);
  if (!body) {
    body = compressions[encoding](file.bytes);
    file.encoded.set(encoding, body);
  }
  headers.set("content-encoding", encoding);
  return new Response(new Uint8Array(await body), { headers });
}
