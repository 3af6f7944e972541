import { href } from "../router.ts";
import { Link } from "../ui/link.tsx";
import { Empty } from "../ui/states.tsx";

export const NotFound = () => (
  <>
    <h1 className="visually-hidden">Not found</h1>
    <Empty title="There is no such view">
      <Link to={href([])}>To the overview</Link>
    </Empty>
  </>
);
