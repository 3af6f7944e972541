/** The order that the events of an import must have, and the error that names the first line that breaks it. */

/** A line of the input is wrong. The error names the line, and never shows the event's content. */
export class ImportError extends Error {
  override readonly name = "ImportError";
  /** What is wrong, and where. */
  readonly fault: string;
  /** 1 is the first line. */
  readonly line: number;
  readonly stream: string | undefined;
  readonly version: number | undefined;

  constructor(
    reason: string,
    at: { line: number; stream?: string | undefined; version?: number | undefined },
  ) {
    const where =
      at.stream === undefined ? "" : ` (stream ${JSON.stringify(at.stream)}, version ${at.version})`;
    const fault = `line ${at.line}${where}: ${reason}`;
    super(`${fault}. Nothing was imported.`);
    this.fault = fault;
    this.line = at.line;
    this.stream = at.stream;
    this.version = at.version;
  }
}

/** An event of an import. `text`: its line in the format of an export. */
export type EventLine = {
  readonly line: number;
  readonly text: string;
  readonly id: number;
  readonly stream: string;
  readonly version: number;
};

/** Reads the lines of a format in their order. */
export type EventReader = {
  /** Events so far. */
  readonly events: number;
  /** The event of a line; undefined if the line has none. @throws ImportError */
  read(text: string): EventLine | undefined;
  /** Called after the last line. @throws ImportError if something is missing. */
  end(): void;
};

/** Ids ascend, and so do the versions of each stream. */
export class EventOrder {
  readonly #versions = new Map<string, number>();
  #events = 0;
  #lastId = -1;

  get events(): number {
    return this.#events;
  }

  /** @throws ImportError */
  add({ line, id, stream, version }: Omit<EventLine, "text">): void {
    const at = { line, stream, version };
    if (id <= this.#lastId) throw new ImportError("ids must ascend, and this one does not", at);
    const before = this.#versions.get(stream);
    if (before !== undefined && version <= before)
      throw new ImportError(
        version === before
          ? "this version was there before"
          : "versions of a stream must ascend, and this one does not",
        at,
      );
    this.#lastId = id;
    this.#versions.set(stream, version);
    this.#events++;
  }
}
