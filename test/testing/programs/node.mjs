// Run by `node --test`: the kit needs no other runner.
import "./suite.mjs";
