package main

import (
	"log/slog"

	"kaban/internal/server"
)

// otherFiles is how many open files are left to everything but clients and
// newcomers: HTTP, the database, the listeners. A small limit leaves a quarter.
const otherFiles = 2200

// places returns how many clients and newcomers the server takes. The limit of
// open files may not allow what was asked for: then a server would not notice
// before it is full, and could not even say so.
func (c *serveCommand) places(log *slog.Logger) (clients, newcomers int) {
	newcomers = c.MaxNewcomers
	if newcomers == 0 {
		newcomers = server.DefaultMaxNewcomers(c.MaxClients)
	}
	limit, ok := openFilesLimit()
	if !ok {
		return c.MaxClients, newcomers
	}
	clients, newcomers = fitFiles(c.MaxClients, newcomers, limit)
	if clients < c.MaxClients {
		log.Warn("the limit of open files allows fewer clients; raise it (ulimit -n) or lower "+c.named("max-clients"), "open_files", limit, "max_clients", clients, "wanted", c.MaxClients)
	}
	return clients, newcomers
}

// fitFiles returns how many of the wanted clients and newcomers fit a limit of
// open files. Newcomers go first, but keep an eighth: without them nobody comes in.
func fitFiles(clients, newcomers, limit int) (int, int) {
	room := max(limit-min(otherFiles, limit/4), 2)
	if clients+newcomers > room {
		newcomers = max(min(newcomers, room/8), min(newcomers, room-clients), 1)
		clients = min(clients, room-newcomers)
	}
	return clients, newcomers
}
