/** Folds a stream into the state of the user's app, as the framework does, up to any version. */
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Admin, EventView } from "../admin/index.ts";
import { importPassively } from "../options/passive.ts";
import type { FoldedState } from "./api.ts";
import { ConsoleError } from "./failures.ts";
import { sent } from "./reads.ts";

/** What `state({ … })…build()` makes, as far as it is needed to fold. */
export type State = {
  readonly name: string;
  readonly init: () => unknown;
  readonly patch: Readonly<Record<string, (event: unknown, state: unknown) => unknown>>;
  /** Masks sensitive data, as for a reader who is not the actor. */
  readonly view?: ((event: unknown) => unknown) | undefined;
};

type Patch = (state: unknown, patch: unknown) => unknown;

/** Most events of one read, and of one fold. */
const PAGE = 500;
const MAX_EVENTS = 20_000;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const isState = (value: unknown): value is State =>
  isObject(value) &&
  typeof value.name === "string" &&
  typeof value.init === "function" &&
  isObject(value.patch) &&
  Object.values(value.patch).every((each) => typeof each === "function");

/** The states among a module's exports: those of an app, and those that stand by themselves. */
export function statesIn(exports: Readonly<Record<string, unknown>>): State[] {
  const found = new Map<string, State>();
  const add = (value: unknown) => {
    if (isState(value) && !found.has(value.name)) found.set(value.name, value);
  };
  // An app's states come first, because the app has merged those that are declared in parts.
  for (const value of Object.values(exports))
    if (isObject(value) && value._states instanceof Map)
      for (const state of value._states.values()) add(state);
  for (const value of Object.values(exports)) add(value);
  return [...found.values()];
}

/** @throws Error that says what the module lacks. Importing the module runs its top-level code. */
export async function loadStates(module: string): Promise<State[]> {
  const path = resolve(module);
  const exports: Record<string, unknown> = await importPassively(pathToFileURL(path).href).catch(
    (error: unknown) => {
      throw new Error(
        `${path} cannot be imported: ${error instanceof Error ? error.message : String(error)}`,
      );
    },
  );
  const states = statesIn(exports);
  if (states.length === 0)
    throw new Error(`${path} exports no state: export what state({ … })…build() or act()…build() returned.`);
  return states;
}

let patching: Promise<Patch> | undefined;

/** The framework's function that merges a patch into a state. Its package is a dependency of the framework. */
function loadPatch(): Promise<Patch> {
  patching ??= (async () => {
    const act = createRequire(fileURLToPath(import.meta.resolve("@rotorsoft/act")));
    const { patch }: { readonly patch: Patch } = act("@rotorsoft/act-patch");
    return patch;
  })();
  return patching;
}

const isMark = (name: string) => name === "__snapshot__" || name === "__tombstone__";

/** The state that handles most of the events. */
function stateOf(states: readonly State[], stream: string, events: readonly EventView[]): State {
  const names = events.map(({ name }) => name).filter((name) => !isMark(name));
  const known = (state: State) => names.filter((name) => name in state.patch).length;
  const [best] = [...states].sort((one, other) => known(other) - known(one));
  if (!best || (names.length > 0 && known(best) === 0))
    throw new ConsoleError(
      "no-state",
      states.length === 0
        ? "Start the console with --app ./app.ts to see folded states."
        : `No state of the app handles the events of ${JSON.stringify(stream)}.`,
    );
  return best;
}

/** The last events up to a version. Their names show which state of the app the stream has. */
async function sample(admin: Admin, stream: string, version: number): Promise<EventView[]> {
  return admin.versions(stream, { from: Math.max(0, version - 20), to: version, limit: 21 });
}

export async function foldedState(
  admin: Admin,
  states: readonly State[],
  stream: string,
  version: number,
): Promise<FoldedState> {
  const near = await sample(admin, stream, version);
  const state = stateOf(states, stream, near);
  if (near.at(-1)?.version !== version)
    throw new ConsoleError("not-found", `The stream ${JSON.stringify(stream)} has no version ${version}.`);
  const patch = await loadPatch();
  const fromSnapshot = await admin.snapshotAt(stream, version);
  let folded: unknown = state.init();
  let patches = 0;
  let at = (fromSnapshot ?? 0) - 1;
  for (let read = 0; at < version && read < MAX_EVENTS; read += PAGE) {
    const page = await admin.versions(stream, { from: at + 1, to: version, limit: PAGE });
    if (page.length === 0) break;
    for (const event of page) {
      if (event.name === "__snapshot__") {
        folded = event.data;
        patches = 0;
        continue;
      }
      const reducer = state.patch[event.name];
      if (!reducer) continue;
      try {
        folded = patch(
          folded,
          reducer(state.view ? state.view(toCommitted(event)) : toCommitted(event), folded),
        );
      } catch (error) {
        throw new ConsoleError(
          "no-state",
          `The state ${state.name} fails at version ${event.version} (${event.name}): ${error instanceof Error ? error.name : "error"}. Personal data is not given to it.`,
        );
      }
      patches++;
    }
    at = page.at(-1)?.version ?? version;
  }
  return {
    stream,
    version: at,
    name: state.name,
    state: sent(folded),
    patches,
    fromSnapshot,
    cut: at < version,
  };
}

/** As a store gives it to a reducer, without personal data. */
const toCommitted = ({ id, stream, version, name, created, data, correlation }: EventView) => ({
  ...{ id, stream, version, name, created, data },
  meta: { correlation, causation: {} },
});
