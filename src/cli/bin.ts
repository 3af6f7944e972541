#!/usr/bin/env node
/**
 * `act-drizzle`. The framework reads LOG_LEVEL when it is loaded, and where it finds no package.json it says so on stdout,
 * in the midst of a command's JSON. So the level is set before anything is loaded.
 */
process.env.LOG_LEVEL = "fatal";
const { main } = await import("./main.ts");
await main();
