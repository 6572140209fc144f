package conn

import (
	"errors"
	"log/slog"
	"runtime"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/turns"
)

// Config configures a Manager. Zero values mean the defaults.
type Config struct {
	// Submit takes the sends of a round, and must not block or keep the slice.
	Submit func([]dispatch.Send)
	// MaxClients bounds the admitted connections. Default 10,000.
	MaxClients int
	// MaxNewcomers is how many more connections there may be that are not admitted
	// yet. Newcomers take free places of clients as well; when there is no place at
	// all, the first to come make room. Default: DefaultMaxNewcomers.
	MaxNewcomers int
	// MaxFromAddress bounds the newcomers from one address: an IPv6 /64 counts as
	// one, and loopback is not bounded. Beyond it one of the others from there, at
	// random, makes room. If the first to come did, each would have MaxFromAddress
	// divided by the rate of connections as time for its hello, and at a high rate
	// nobody would get in. Default 100.
	MaxFromAddress int
	// MaxHandshakes bounds the handshakes of TLS that have begun. Beyond it random
	// ones make room. Default 1,000.
	MaxHandshakes int
	// Turns bounds the handshakes that compute at a time, together with whatever else
	// has the same Turns. Default: its own turns.ForProcessors.
	Turns *turns.Turns
	// Heartbeat is the silence after which the server pings; after two more the
	// connection ends. Default 30 s.
	Heartbeat time.Duration
	// HelloTimeout is the time in which a newcomer must be admitted, its handshake of TLS
	// included, or have a worker
	// find out whether it may be. Default 10 s.
	HelloTimeout time.Duration
	// StallTimeout is how long a peer may take no byte of its output. Default 30 s.
	StallTimeout time.Duration
	// Loops is how many loops serve plain TCP connections. Default: one for every
	// two processors.
	Loops int
	// Clock is the time of all time-outs. Default: a Stopwatch.
	Clock Clock
	// Log gets a line for everything that an operator should know. Default:
	// discarded.
	Log *slog.Logger
}

const (
	// newcomerShare is which part of MaxClients there is in places for newcomers
	// alone, and minNewcomers the least there is.
	newcomerShare = 4
	minNewcomers  = 64
)

// DefaultMaxNewcomers returns how many places for newcomers there are beside those
// for clients: a quarter as many, but at least 64.
func DefaultMaxNewcomers(clients int) int { return max(clients/newcomerShare, minNewcomers) }

func (c Config) withDefaults() (Config, error) {
	if c.Submit == nil {
		return c, errors.New("a manager needs a dispatcher to submit to")
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 10_000
	}
	if c.MaxNewcomers <= 0 {
		c.MaxNewcomers = DefaultMaxNewcomers(c.MaxClients)
	}
	if c.MaxFromAddress <= 0 {
		c.MaxFromAddress = 100
	}
	if c.MaxHandshakes <= 0 {
		c.MaxHandshakes = 1000
	}
	if c.Turns == nil {
		c.Turns = turns.ForProcessors()
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 30 * time.Second
	}
	if c.HelloTimeout <= 0 {
		c.HelloTimeout = 10 * time.Second
	}
	if c.StallTimeout <= 0 {
		c.StallTimeout = 30 * time.Second
	}
	if c.Loops <= 0 {
		c.Loops = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	if c.Clock == nil {
		c.Clock = Stopwatch()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
