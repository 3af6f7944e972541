import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./styles/index.css";
import "./theme.ts";

const client = new QueryClient({
  defaultOptions: {
    // What failed because something was gone is read again when it is back: data/console.tsx.
    queries: { retry: false, networkMode: "always", refetchOnReconnect: false },
    mutations: { networkMode: "always" },
  },
});

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>,
  );
