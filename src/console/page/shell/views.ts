/** The views by the first part of the address, in the order of the menu. */
import {
  Boxes,
  Database,
  Gauge,
  GitBranch,
  History,
  Layers,
  type LucideIcon,
  ScrollText,
  Split,
} from "lucide-react";
import type { ComponentType } from "react";
import { ActivityView } from "../views/activity.tsx";
import { LogView } from "../views/log/log.tsx";
import { NotFound } from "../views/not-found.tsx";
import { OverviewView } from "../views/overview/overview.tsx";
import { ProjectionsView } from "../views/projections.tsx";
import { ReactionsView } from "../views/reactions/reactions.tsx";
import { StreamView } from "../views/stream/stream.tsx";
import { TenantsView } from "../views/tenants.tsx";
import { TraceView } from "../views/trace/trace.tsx";

export type ViewEntry = {
  readonly path: string;
  readonly title: string;
  readonly icon: LucideIcon;
  readonly View: ComponentType;
};

export const VIEWS: readonly ViewEntry[] = [
  { path: "", title: "Overview", icon: Gauge, View: OverviewView },
  { path: "log", title: "Log", icon: ScrollText, View: LogView },
  { path: "stream", title: "Streams", icon: Layers, View: StreamView },
  { path: "trace", title: "Traces", icon: GitBranch, View: TraceView },
  { path: "reactions", title: "Reactions", icon: Split, View: ReactionsView },
  { path: "projections", title: "Projections", icon: Boxes, View: ProjectionsView },
  { path: "tenants", title: "Tenants", icon: Database, View: TenantsView },
  { path: "activity", title: "Activity", icon: History, View: ActivityView },
];

export const viewAt = (path = ""): Pick<ViewEntry, "title" | "View"> =>
  VIEWS.find((view) => view.path === path) ?? { title: "Not found", View: NotFound };
