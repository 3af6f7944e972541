// The same tests in another process at the same time.
import "./suite.mjs";
