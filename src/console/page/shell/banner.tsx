import { Unplug } from "lucide-react";
import { useConnection } from "../data/connection.ts";

/** Stands above each view while the server or the database does not answer. */
export function Banner() {
  const { server, database } = useConnection();
  const gone = server === "gone";
  if (server === "renewed")
    return (
      <div role="alert">
        <div className="banner">
          <Unplug size={17} aria-hidden="true" />
          <div>
            <strong>The console was started anew.</strong> Open the address that it has printed: the token of
            this page is of an earlier start.
          </div>
        </div>
      </div>
    );
  return (
    <div role="alert">
      {(gone || database !== undefined) && (
        <div className="banner">
          <Unplug size={17} aria-hidden="true" />
          <div>
            <strong>
              {gone ? "The console's server does not answer." : "The database does not answer."}
            </strong>{" "}
            {gone
              ? "The command was ended, or this machine was asleep. Trying again …"
              : "The page shows older data. Trying again …"}
          </div>
        </div>
      )}
    </div>
  );
}
