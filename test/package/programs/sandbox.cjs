// The test kit in a sandbox without import(), as jest makes one: a file is compiled as a function, and gets require.
const { readFileSync } = require("node:fs");
const { dirname } = require("node:path");
const { compileFunction } = require("node:vm");
const { act } = require("@rotorsoft/act");
const { integer, pgTable } = require("drizzle-orm/pg-core");

const file = require.resolve("act-drizzle/testing");
const sandboxed = { exports: {} };
const parameters = ["module", "exports", "require", "__filename", "__dirname"];
const { createRequire } = require("node:module");
compileFunction(readFileSync(file, "utf8"), parameters, { filename: file })(
  sandboxed,
  sandboxed.exports,
  createRequire(file),
  file,
  dirname(file),
);

const notes = pgTable("notes", { nr: integer("nr").primaryKey() });
sandboxed.exports
  .testKit({ url: process.argv[2], tables: { notes }, build: ({ options }) => act().build(options) })
  .then(async (kit) => {
    await kit.drained();
    await kit.dispose();
    console.log("made and dropped");
  });
