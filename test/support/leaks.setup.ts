/** In each test file: what is written past the console, by Act's logger for one, is looked through as well. */
import { afterAll, inject } from "vitest";
import { expectNoLeaks, keepSecret, lookThrough } from "./leaks.ts";

// Unit tests have no server.
const url: string | undefined = inject("serverUrl");
if (url) keepSecret(decodeURIComponent(new URL(url).password));
for (const stream of [process.stdout, process.stderr]) {
  const write = stream.write.bind(stream) as (...all: unknown[]) => boolean;
  stream.write = (...all: unknown[]) => {
    lookThrough(String(all[0]));
    return write(...all);
  };
}
afterAll(expectNoLeaks);
