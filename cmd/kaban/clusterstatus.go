package main

import (
	"context"
	"fmt"
	"time"
)

// databaseReport is the state of a database that several nodes share.
type databaseReport struct {
	Up          bool    `json:"up"`
	Response    float64 `json:"response_ms"`
	Timeline    uint64  `json:"timeline"`
	Epoch       string  `json:"epoch"`
	Connections int     `json:"connections"`
	Used        int     `json:"connections_used"`
	Limit       int     `json:"connections_limit"`
}

// busReport is the state of the bus between nodes.
type busReport struct {
	Kind      string `json:"kind"` // local, embedded or nats
	Connected bool   `json:"connected"`
	Nodes     *int   `json:"nodes,omitempty"` // other ones that are connected; of embedded only
	Published uint64 `json:"published"`
	Received  uint64 `json:"received"`
	Dropped   uint64 `json:"dropped"`
	Forged    uint64 `json:"forged"`
}

// reports returns the states of the database and the bus, nil without them. It asks the database, so that
// the state is that of now.
func (l *line) reports(ctx context.Context) (*databaseReport, *busReport) {
	if l == nil {
		return nil, nil
	}
	l.ask(ctx)
	now, counted := l.databaseNow(), l.bus.Stats()
	b := &busReport{
		Kind: l.kind, Connected: counted.Connected,
		Published: counted.Published, Received: counted.Received, Dropped: counted.Dropped, Forged: counted.Forged,
	}
	if nodes := nodesOf(l.bus); nodes != nil {
		n := nodes()
		b.Nodes = &n
	}
	return &databaseReport{
		Up: now.Up, Response: float64(now.Response.Microseconds()) / 1000, Timeline: now.Timeline, Epoch: now.Epoch,
		Connections: now.Open, Used: now.Used, Limit: now.Most,
	}, b
}

// clusterLines returns the lines of a status about the database and the bus.
func clusterLines(r *statusReport) (lines []string) {
	if d := r.Database; d != nil {
		state := fmt.Sprintf("answers in %s", time.Duration(d.Response*float64(time.Millisecond)).Round(10*time.Microsecond))
		if !d.Up {
			state = "DOES NOT ANSWER"
		}
		if r.Disk.Database > 0 {
			state += ", has " + byteSize(r.Disk.Database)
		}
		lines = append(lines, statusLine("Database", "%s, timeline %d, %d of at most %d connections in use", state, d.Timeline, d.Used, d.Limit))
	}
	if b := r.Bus; b != nil {
		state := b.Kind
		if b.Kind == busLocal {
			state = "none (--bus), so news of other nodes come a second late"
		} else if !b.Connected {
			state += ", NOT CONNECTED, so news of other nodes come a second late"
		}
		if b.Nodes != nil {
			state += ", " + counted(*b.Nodes, "other node") + " connected"
		}
		lines = append(lines, statusLine("Bus", "%s; %s hints sent, %s received, %s forged", state, thousands(int(b.Published)), thousands(int(b.Received)), thousands(int(b.Forged))))
	}
	return lines
}
