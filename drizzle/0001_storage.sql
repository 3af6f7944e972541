-- Every claim rewrites its row: room on the page keeps that a HOT update, and frequent, small vacuums keep the table level.
ALTER TABLE "events_streams" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_analyze_scale_factor = 0.05);--> statement-breakpoint
ALTER TABLE "events_correlated" SET (fillfactor = 50);
