package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"kaban/internal/certs"
	"kaban/internal/conn"
	"kaban/internal/disk"
	"kaban/internal/limit"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/telemetry"
	"kaban/internal/web"
)

// telemetry returns what serves the metrics of a server. It costs nothing unless
// somebody asks it.
func (c *serveCommand) telemetry(shared *services, kept store.Store, source *certs.Source, limits *limit.Limits, manager *conn.Manager, lines *server.Server, pages *web.Server, log *slog.Logger) (*telemetry.Server, error) {
	sources := telemetry.Sources{
		Version:     programVersion(),
		Connections: manager.Stats,
		Dispatcher:  shared.dispatcher.Stats,
		Lines:       lines.Stats,
		Pages:       pages.Stats,
		Chat:        shared.rooms.Counts,
		Accounts:    shared.accounts.Stats,
		Limits:      limits.Exceeded,
		Search:      shared.index.Status,
		Pushes:      shared.pushes.service.Stats,
	}
	if watched, ok := kept.(store.Watched); ok {
		sources.Store = watched.Size
	}
	if l := shared.line; l != nil {
		sources.Database, sources.Bus, sources.Nodes = l.databaseNow, l.bus.Stats, nodesOf(l.bus)
	}
	if shared.backups != nil {
		sources.Backups = shared.backups.Status
	}
	if source != nil {
		sources.Certificate = source.NotAfter
	}
	if dir := c.home().dir(); dir != inMemory {
		sources.Disk = func() (disk.Space, error) { return disk.SpaceOf(dir) }
	}
	return telemetry.New(telemetry.Config{Sources: sources, Profiles: c.Pprof, Log: log})
}

// checkProfiles refuses --pprof without a place for them.
func (c *serveCommand) checkProfiles(endpoints []*endpoint) error {
	if !c.Pprof || slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.scheme.name == schemeMetrics }) {
		return nil
	}
	return usagef("%s needs an address for metrics: add --listen metrics://127.0.0.1:6490", c.named("pprof"))
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
