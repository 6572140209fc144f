// Package bench loads a chat server and reports the results: deliveries per
// second, server CPU per delivery, latency, memory, and lost or repeated messages.
//
// The generator must be much cheaper than the server. All connections belong to
// one goroutine with one epoll loop (Linux only), which counts deliveries without
// parsing them. Each message contains one byte that occurs nowhere else on the
// wire, its mark, so counting that byte counts messages, however reads split the
// stream. Lines without a mark are parsed one by one. A sample of the
// connections is parsed completely to check the order of their messages.
//
// A message is in flight until it has been delivered to everyone in its room, as
// an average over the room. So a window means the same on every server, and early
// acks are no advantage.
//
// The package knows the protocols only from a client's point of view; it shares no
// code with the server that it measures. Addresses are those of other clients.
package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"kaban/client/dial"
)

// Limits of the options, so that a typo does not bring down a machine.
const (
	MaxConnections = 20_000
	MaxInFlight    = 65_536
	MaxRate        = 1_000_000
	MinPayload     = 24 // the marker, a time and a little more
	MaxPayload     = 4_000
	MaxTime        = 10 * time.Minute
	// MaxStalledTime is how long a measurement with stalled connections may take;
	// see settleStalled.
	MaxStalledTime = 11 * time.Second
)

// Workload is a type of load.
type Workload string

// The workloads.
const (
	Flood   Workload = "flood"   // as much as the windows allow: fanout and rooms
	Latency Workload = "latency" // at a fixed rate
	Idle    Workload = "idle"    // connections that send nothing
	Stalled Workload = "stalled" // connections that read nothing
	Join    Workload = "join"    // all join a room, then leave it
	Durable Workload = "durable" // each sender waits for its ack
)

// Options configure a run. No workload uses all of them.
type Options struct {
	// Server is an address as dial.Parse reads it; Run sets its usual form.
	Server    string `json:"server"`
	WebSocket bool   `json:"websocket,omitempty"` // set by Run
	Encrypted bool   `json:"tls,omitempty"`       // set by Run
	// TLS is for tls:// and wss://; without it the system decides whom to trust.
	TLS    *tls.Config `json:"-"`
	Remote bool        `json:"-"` // allow servers on other machines
	Raw    bool        `json:"raw,omitempty"`
	PID    int         `json:"-"` // of the server, on this machine; 0 if unknown
	// SendersAt is another node of the server, with an address of the same kind. Members that
	// send connect there, if it is set: Flood and Latency.
	SendersAt string `json:"senders_at,omitempty"`
	// Tokens are those of accounts. Connections sign in with them in turn; without any
	// they are visitors.
	Tokens []string `json:"-"`

	Rooms    int           `json:"rooms,omitempty"`
	Members  int           `json:"members,omitempty"` // of each room
	Senders  int           `json:"senders,omitempty"` // members of each room that send; 0 is all
	Stalled  int           `json:"stalled,omitempty"` // connections that never read
	Payload  int           `json:"payload,omitempty"` // bytes of content
	React    bool          `json:"react,omitempty"`   // react to messages instead of sending them: Flood and Durable
	Settle   bool          `json:"settle,omitempty"`  // then wait until the server is idle, to count its work for later too: Flood
	InFlight int           `json:"in_flight,omitempty"`
	Rate     float64       `json:"rate,omitempty"` // messages a second, in all rooms together
	Warmup   time.Duration `json:"warmup_ns,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`

	server    dial.Address // set by Run
	at        string       // IP:PORT of the server; set by Run
	sendersAt string       // of the other node, or at; set by Run

	// Progress is called from time to time with the completed part, 0 to 1, and a
	// status text. It may be nil.
	Progress func(done float64, text string) `json:"-"`
}

// OptionError reports an invalid option.
type OptionError struct{ text string }

func (e *OptionError) Error() string { return e.text }

func optionf(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// ErrNeedsLinux means that this system has no epoll.
var ErrNeedsLinux = errors.New("the load generator needs Linux (epoll); run it there, against any server with --remote")

// Run loads a server. With an error, the result may contain the measurements so
// far.
func Run(ctx context.Context, w Workload, o Options) (*Result, error) {
	if o.Senders == 0 {
		o.Senders = o.Members
	}
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	if err := o.check(w); err != nil {
		return nil, err
	}
	return run(ctx, w, o)
}

// Connections returns the maximum number of connections at a time.
func (o *Options) connections(w Workload) int {
	switch w {
	case Join:
		return o.Members
	case Durable:
		return o.Senders
	}
	return o.Rooms*o.Members + o.Stalled
}

func (o *Options) check(w Workload) error {
	within := func(name string, n, low, high int) error {
		if n < low || n > high {
			return optionf("%s must be %d to %d, not %d", name, low, high, n)
		}
		return nil
	}
	type bound struct {
		name         string
		n, low, high int
	}
	var bounds []bound
	switch w {
	case Flood, Latency, Stalled:
		bounds = []bound{
			{"--members", o.Members, 2, MaxConnections},
			{"--rooms", o.Rooms, 1, MaxConnections},
			{"--senders", o.Senders, 1, o.Members},
			{"--payload", o.Payload, MinPayload, MaxPayload},
		}
	case Idle:
		bounds = []bound{{"--rooms", o.Rooms, 1, MaxConnections}, {"--members", o.Members, 1, MaxConnections}}
	case Join:
		bounds = []bound{{"--members", o.Members, 1, MaxConnections}}
	case Durable:
		bounds = []bound{{"--senders", o.Senders, 1, MaxConnections}, {"--rooms", o.Rooms, 1, o.Senders}, {"--payload", o.Payload, MinPayload, MaxPayload}}
	default:
		return optionf("unknown workload %q", w)
	}
	if w == Flood {
		bounds = append(bounds, bound{"--in-flight", o.InFlight, 1, MaxInFlight})
	}
	bounds = append(bounds, bound{"--stalled", o.Stalled, 0, MaxConnections}, bound{"the number of connections", o.connections(w), 1, MaxConnections})
	for _, b := range bounds {
		if err := within(b.name, b.n, b.low, b.high); err != nil {
			return err
		}
	}
	switch {
	case o.Warmup < 0 || o.Duration < 0 || o.Warmup+o.Duration > MaxTime:
		return optionf("--warm-up and --duration together must be at most %s", MaxTime)
	case w == Stalled && o.Duration > MaxStalledTime:
		return optionf("with --stalled, --duration must be at most %s, not %s: servers disconnect stalled clients", MaxStalledTime, o.Duration)
	case w != Join && o.Duration < 10*time.Millisecond:
		return optionf("--duration must be at least 10ms, not %s", o.Duration)
	case (w == Latency || w == Stalled) && (o.Rate <= 0 || o.Rate > MaxRate):
		return optionf("--rate must be above 0 and at most %d messages a second, not %g", MaxRate, o.Rate)
	case o.PID < 0:
		return optionf("--pid must be a process id, not %d", o.PID)
	case o.Raw && len(o.Tokens) > 0:
		return optionf("raw lines do not support accounts")
	case len(o.Tokens) > 0 && len(o.Tokens) < max(o.Members, o.Senders) && w != Idle && w != Join:
		return optionf("%d tokens are too few: in a room every member that sends needs an account of its own", len(o.Tokens))
	case o.React && w != Flood && w != Durable:
		return optionf("%s does not support reactions", w)
	case o.Settle && w != Flood:
		return optionf("%s does not support --settle", w)
	case o.Settle && o.PID == 0:
		return optionf("--settle needs --pid")
	case o.React && o.Raw:
		return optionf("raw lines do not support reactions")
	case o.Raw && (w == Join || w == Durable):
		return optionf("raw lines do not support %s", w)
	case o.SendersAt != "" && w != Flood && w != Latency:
		return optionf("%s does not support --senders-at", w)
	}
	if err := o.checkServer(); err != nil {
		return err
	}
	return o.checkSenders()
}

// checkTLS sets whom the server must be.
func (o *Options) checkTLS() {
	if !o.Encrypted {
		o.TLS = nil
		return
	}
	if o.TLS == nil {
		o.TLS = new(tls.Config)
	}
	if o.TLS = o.TLS.Clone(); o.TLS.ServerName == "" {
		o.TLS.ServerName = o.server.Host()
	}
	if o.WebSocket {
		o.TLS.NextProtos = []string{"http/1.1"}
	}
}

// checkServer refuses to load a remote machine by accident.
func (o *Options) checkServer() error {
	var err error
	if o.server, err = dial.Parse(o.Server); err != nil {
		return optionf("--server: %s", err)
	}
	o.Server, o.WebSocket, o.Encrypted = o.server.String(), o.server.Web() != "", o.server.IsEncrypted()
	o.checkTLS()
	addr, err := net.ResolveTCPAddr("tcp", o.server.HostPort())
	switch {
	case err != nil:
		return optionf("--server: %s", err)
	case o.Raw && o.Encrypted:
		return optionf("raw lines do not support TLS; write tcp:// before the address of another machine")
	case o.Raw && o.WebSocket:
		return optionf("raw lines do not support WebSocket")
	case !addr.IP.IsLoopback() && !o.Remote:
		return optionf("%s is not this machine; a load test of another machine needs --remote, and the permission of its operator", o.Server)
	case !addr.IP.IsLoopback() && o.PID != 0:
		return optionf("--pid needs a server on this machine, but %s is not this machine", o.Server)
	}
	o.at, o.sendersAt = addr.String(), addr.String()
	return nil
}

// checkSenders does the same for the node where members that send connect.
func (o *Options) checkSenders() error {
	if o.SendersAt == "" {
		return nil
	}
	other := Options{Server: o.SendersAt, Remote: o.Remote, Raw: o.Raw}
	switch err := other.checkServer(); {
	case err != nil:
		return optionf("--senders-at: %s", strings.TrimPrefix(err.Error(), "--server: "))
	case other.WebSocket != o.WebSocket || other.Encrypted != o.Encrypted || o.Encrypted && other.server.Host() != o.server.Host():
		return optionf("--senders-at must be an address of the same kind as --server, and with TLS have the same name")
	}
	o.SendersAt, o.sendersAt = other.Server, other.at
	return nil
}
