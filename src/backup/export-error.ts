/** An event cannot be written in the chosen format. What was written before it is no whole export. */
export class ExportError extends Error {
  override readonly name = "ExportError";
  /** The event's id in the log. */
  readonly id: number;
  readonly stream: string;
  readonly version: number;

  constructor(
    reason: string,
    { id, stream, version }: { readonly id: number; readonly stream: string; readonly version: number },
  ) {
    super(
      `event ${id} (stream ${JSON.stringify(stream)}, version ${version}): ${reason}. The export ends before this event.`,
    );
    this.id = id;
    this.stream = stream;
    this.version = version;
  }
}
