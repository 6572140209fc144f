package main

import (
	"log/slog"

	"kaban/internal/conn"
)

// otherFiles is how many open files are reserved for everything but clients and
// newcomers: HTTP, the database, the listeners. A small limit reserves a quarter.
const otherFiles = 2200

// capacity returns how many clients and newcomers the server accepts. The limit of
// open files may be too low for the configured numbers: then the server would notice
// only when it is full, and could not even report it.
func (c *serveCommand) capacity(log *slog.Logger) (clients, newcomers int) {
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

// requestCapacity returns how many HTTP connections the limit of open files allows, 0
// for the default. With more, accepting would fail before HTTP could make room.
func requestCapacity() int {
	limit, ok := openFilesLimit()
	if !ok {
		return 0
	}
	return fitRequests(limit)
}

// fitRequests returns how many HTTP connections fit the files that are reserved for
// everything but clients and newcomers, beside the database and the like.
func fitRequests(limit int) int {
	others := min(otherFiles, limit/4)
	return max(others-200, others/2, 1)
}

// fitFiles returns how many of the wanted clients and newcomers fit a limit of open
// files. Newcomers are reduced first, but keep an eighth: without them nobody can
// connect.
func fitFiles(clients, newcomers, limit int) (int, int) {
	room := max(limit-min(otherFiles, limit/4), 2)
	if clients+newcomers > room {
		newcomers = max(min(newcomers, room/8), min(newcomers, room-clients), 1)
		clients = min(clients, room-newcomers)
	}
	return clients, newcomers
}
