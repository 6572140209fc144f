package main

import (
	"log/slog"

	"kaban/internal/conn"
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
		newcomers = conn.DefaultMaxNewcomers(c.MaxClients)
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

// requestPlaces returns how many connections of HTTP the limit of open files
// allows, 0 for as many as usual. With more HTTP could not make room for others, as
// accepting would fail first.
func requestPlaces() int {
	limit, ok := openFilesLimit()
	if !ok {
		return 0
	}
	return fitRequests(limit)
}

// fitRequests returns how many connections of HTTP fit what is left to everything
// but clients and newcomers, beside the database and the like.
func fitRequests(limit int) int {
	others := min(otherFiles, limit/4)
	return max(others-200, others/2, 1)
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
