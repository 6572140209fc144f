package main

import (
	"context"
	"log/slog"
	"time"

	"kaban/internal/conn"
	"kaban/internal/limit"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/telemetry"
	"kaban/internal/web"
)

// telemetry returns what serves the metrics of a server. It costs nothing unless
// somebody asks it.
func (c *serveCommand) telemetry(shared *services, kept store.Store, limits *limit.Limits, manager *conn.Manager, lines *server.Server, pages *web.Server, log *slog.Logger) (*telemetry.Server, error) {
	sources := telemetry.Sources{
		Version:     programVersion(),
		Connections: manager.Stats,
		Dispatcher:  shared.dispatcher.Stats,
		Lines:       lines.Stats,
		Pages:       pages.Stats,
		Chat:        shared.rooms.Counts,
		Accounts:    shared.accounts.Stats,
		Limits:      limits.Exceeded,
	}
	if watched, ok := kept.(store.Watched); ok {
		sources.Store = watched.Size
	}
	if c.Data != inMemory {
		sources.Disk = func() (telemetry.Disk, error) { return telemetry.DiskOf(c.Data) }
	}
	return telemetry.New(telemetry.Config{Sources: sources, Profiles: c.Pprof, Log: log})
}

// flushTimeout is how long a server that ends sends its last traces.
const flushTimeout = 3 * time.Second

// flush sends traces that are left.
func flush(stop func(context.Context) error, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := stop(ctx); err != nil {
		log.Warn("the last traces could not be exported", "err", err)
	}
}
