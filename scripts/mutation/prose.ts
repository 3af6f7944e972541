/** What stands above the tables of docs/reports/mutation.md. */
export const PROSE = `# Mutation testing

\`npm run test:mutation\` changes \`src/codec\`, \`src/events\` and \`src/streams\` in every small way, one at a time, and looks
whether a test fails. This page is generated from what its runs have found. It is no part of the gate: a full run takes hours.

| option | |
|---|---|
| \`--only PATH\` | mutants of files whose path contains it |
| \`--sample N\` | N of them, spread evenly |
| \`--left\` | those that no earlier run has seen killed, unless the list below says that nothing can kill them |
| \`--budget MS\` | test time spent on one mutant, default 12,000; what no test has noticed by then counts as alive |
| \`--docs\` | runs nothing, writes this page |

Two kinds of mutants: Stryker's for TypeScript (its instrumenter, without its runner), and our own inside SQL texts, where most
decisions of this store are made: \`<\` for \`<=\`, \`or\` for \`and\`, \`least\` for \`greatest\`, an order turned round, a limit, \`for update\`
or \`skip locked\` left out, a column not set, … (\`scripts/mutation/sql.ts\`). All are in one copy of the sources, switched on by their id,
so the tests that reach a mutant run in a process that is warm already: about a second per mutant, where a fresh
process would take many.

How it is counted:

- **killed**: a test failed, and passed right after with the mutant switched off. If it was slow to fail, it must fail twice.
- **refused**: PostgreSQL could not read the changed statement (SQLSTATE class 42). Any test notices that, so the strict score leaves
  these out, and with them statements replaced by nothing.
- **timeout**: a test did not end. Counted apart, and not as killed in the strict score: the machine may have been busy.
- **score**: (killed + refused + timeout) / all. **strict**: killed / (all without refused and emptied statements).
  **of those that differ**: strict, without mutants for which the list below says that no test can tell them from the original.

The tests are those of \`scripts/mutation/tests.ts\`: the conformance suite on PostgresStore, the codecs, the input tests and some of
the races; not the model, the order of visibility, the migrations, nor anything long, which find more.`;
