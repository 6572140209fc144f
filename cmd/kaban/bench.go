package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/bench"
)

// benchCommand loads a server with package bench.
type benchCommand struct {
	Fanout  benchFanout  `cmd:"" help:"One room at full speed: the cost of delivering a message to many."`
	Rooms   benchRooms   `cmd:"" help:"Many small rooms in which everyone talks, at full speed."`
	Latency benchLatency `cmd:"" help:"Latency at a fixed rate, counted from when a message was due, so a stalled server is charged for the wait."`
	Idle    benchIdle    `cmd:"" help:"The cost of connections that send nothing or, with --stalled, read nothing."`
	Join    benchJoin    `cmd:"" help:"Everyone logs in, joins one room, and leaves it again."`
	Durable benchDurable `cmd:"" help:"Senders that wait for each ack before they send again."`
}

// Help returns the text below the list of commands.
func (benchCommand) Help() string {
	return fmt.Sprintf("Needs Linux. Loads only this machine, unless --remote is given. At most %d connections, %d messages in flight, %d messages a second, %s. "+
		"Exits with 1 if a delivery is lost or repeated. The server may need a higher --max-clients, and both may need a higher limit of open files (ulimit -n).",
		bench.MaxConnections, bench.MaxInFlight, bench.MaxRate, bench.MaxTime)
}

// benchFlags are common to all workloads.
type benchFlags struct {
	Server    string `placeholder:"ADDRESS" env:"KABAN_SERVER" default:"127.0.0.1:6440" help:"Address of the server, as in other commands: tcp://, tls://, ws://, http://, wss:// or https://HOST:PORT. Default: ${default}."`
	CA        string `name:"ca" placeholder:"FILE" help:"Trust the certificates in this file, in PEM. Default: those of the system."`
	Remote    bool   `help:"Allow a server on another machine."`
	PID       int    `name:"pid" placeholder:"N" help:"Process id of a server on this machine, to report its CPU and memory."`
	JSON      bool   `name:"json" help:"Print each result as a JSON object."`
	TokenFile string `name:"token-file" placeholder:"FILE" help:"Connections sign in with the tokens in this file, one a line, in turn. Default: they are visitors."`
	Raw       bool   `help:"Use the line protocol of bench/floor instead of kaban/1."`
}

// timeFlags are common to the workloads with a duration.
type timeFlags struct {
	WarmUp   time.Duration `placeholder:"TIME" default:"1s" help:"Time under load before the measurement. Default: ${default}."`
	Duration time.Duration `placeholder:"TIME" default:"5s" help:"Time of the measurement. Default: ${default}."`
}

// payloadFlag is common to the workloads that send.
type payloadFlag struct {
	Payload int `placeholder:"BYTES" default:"100" help:"Length of each message, 24 to 4000. Default: ${default}."`
}

// reactFlag is common to the workloads in which everything is sent as fast as possible.
type reactFlag struct {
	React bool `help:"React to messages of the room, and take the reactions back, instead of sending messages. The figures for messages are those of reactions then."`
}

// settleFlag is common to the workloads at full speed.
type settleFlag struct {
	Settle bool `help:"Then wait until the server is idle, and report all its CPU since the first message, with the work that it leaves for later, such as its search index. Needs --pid."`
}

// sendersFlag is common to the workloads in which some members send to others.
type sendersFlag struct {
	SendersAt string `name:"senders-at" placeholder:"ADDRESS" help:"Members that send connect to this node instead. Default: that of --server."`
}

type benchFanout struct {
	benchFlags
	timeFlags
	payloadFlag
	reactFlag
	settleFlag
	sendersFlag
	Members  int `placeholder:"N" default:"1000" help:"Connections in the room. Default: ${default}."`
	Senders  int `placeholder:"N" default:"4" help:"Members that send. Default: ${default}."`
	InFlight int `placeholder:"N" default:"1024" help:"Messages in flight, not delivered to everyone yet. Default: ${default}."`
}

// Run runs the workload.
func (c *benchFanout) Run(std streams) error {
	return c.run(std, bench.Flood, bench.Options{
		Rooms: 1, Members: c.Members, Senders: min(c.Senders, c.Members), InFlight: c.InFlight,
		Payload: c.Payload, React: c.React, Settle: c.Settle, Warmup: c.WarmUp, Duration: c.Duration, SendersAt: c.SendersAt,
	})
}

type benchRooms struct {
	benchFlags
	timeFlags
	payloadFlag
	reactFlag
	settleFlag
	sendersFlag
	Rooms    int `placeholder:"N" default:"100" help:"Rooms. Default: ${default}."`
	Members  int `placeholder:"N" default:"10" help:"Connections in each room. Default: ${default}."`
	Senders  int `placeholder:"N" default:"0" help:"Members of each room that send; 0 is all. Default: all."`
	InFlight int `placeholder:"N" default:"16" help:"Messages in flight in each room, not delivered to everyone yet. Default: ${default}."`
}

// Run runs the workload.
func (c *benchRooms) Run(std streams) error {
	return c.run(std, bench.Flood, bench.Options{
		Rooms: c.Rooms, Members: c.Members, Senders: c.Senders, InFlight: c.InFlight,
		Payload: c.Payload, React: c.React, Settle: c.Settle, Warmup: c.WarmUp, Duration: c.Duration, SendersAt: c.SendersAt,
	})
}

type benchLatency struct {
	benchFlags
	timeFlags
	payloadFlag
	sendersFlag
	Rooms   int     `placeholder:"N" default:"1" help:"Rooms. Default: ${default}."`
	Members int     `placeholder:"N" default:"1000" help:"Connections in each room. Default: ${default}."`
	Senders int     `placeholder:"N" default:"0" help:"Members of each room that send, in turn; 0 is all. Default: all."`
	Rate    float64 `placeholder:"N" default:"20" help:"Messages a second, in all rooms together. Default: ${default}."`
}

// Run runs the workload.
func (c *benchLatency) Run(std streams) error {
	return c.run(std, bench.Latency, bench.Options{
		Rooms: c.Rooms, Members: c.Members, Senders: c.Senders, Rate: c.Rate, SendersAt: c.SendersAt,
		Payload: c.Payload, Warmup: c.WarmUp, Duration: c.Duration,
	})
}

type benchIdle struct {
	benchFlags
	timeFlags
	payloadFlag
	Connections int     `placeholder:"N" default:"1000" help:"Connections. Default: ${default}."`
	Rooms       int     `placeholder:"N" default:"100" help:"Rooms that they are spread over. Default: ${default}."`
	Stalled     int     `placeholder:"N" default:"0" help:"Instead, measure ten members that talk while this many members of their room never read, and before and after that while as many are idle elsewhere."`
	Rate        float64 `placeholder:"N" default:"200" help:"With --stalled, messages a second. Default: ${default}."`
}

// Run runs the workload.
func (c *benchIdle) Run(std streams) error {
	if c.Stalled != 0 {
		return c.run(std, bench.Stalled, bench.Options{
			Rooms: 1, Members: 10, Stalled: c.Stalled, Rate: c.Rate,
			Payload: c.Payload, Warmup: c.WarmUp, Duration: c.Duration,
		})
	}
	if c.Rooms < 1 || c.Connections < c.Rooms || c.Connections%c.Rooms != 0 {
		return usagef("--connections must be a multiple of --rooms, not %d of %d", c.Connections, c.Rooms)
	}
	return c.run(std, bench.Idle, bench.Options{
		Rooms: c.Rooms, Members: c.Connections / c.Rooms, Warmup: c.WarmUp, Duration: c.Duration,
	})
}

type benchJoin struct {
	benchFlags
	Members int `placeholder:"N" default:"1000" help:"Connections that join. Default: ${default}."`
}

// Run runs the workload.
func (c *benchJoin) Run(std streams) error {
	return c.run(std, bench.Join, bench.Options{Members: c.Members})
}

type benchDurable struct {
	benchFlags
	timeFlags
	payloadFlag
	reactFlag
	Senders []int `placeholder:"N,…" default:"1,16,256" help:"Number of senders; several numbers are measured one after the other. Default: ${default}."`
	Rooms   int   `placeholder:"N" default:"16" help:"Rooms that they are spread over, at most one per sender. Each room costs a write in each commit, each member a delivery. Default: ${default}."`
}

// Run runs the workload.
func (c *benchDurable) Run(std streams) error {
	var all []bench.Options
	for _, n := range c.Senders {
		all = append(all, bench.Options{Rooms: min(c.Rooms, n), Members: 1, Senders: n, Payload: c.Payload, React: c.React, Warmup: c.WarmUp, Duration: c.Duration})
	}
	return c.run(std, bench.Durable, all...)
}

// tokens returns what connections sign in with.
func (f *benchFlags) tokens() ([]string, error) {
	if f.TokenFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return nil, usagef("--token-file: %w", err)
	}
	tokens := strings.Fields(string(text))
	if len(tokens) == 0 {
		return nil, usagef("--token-file %s is empty", f.TokenFile)
	}
	return tokens, nil
}

// trusted returns whom --ca trusts; nil: whom the system does.
func (f *benchFlags) trusted() (*tls.Config, error) {
	if f.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, usagef("--ca %s: there is no certificate in it; it must be a file in PEM", f.CA)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// run runs the workloads one after the other and prints the results.
func (f *benchFlags) run(std streams, w bench.Workload, all ...bench.Options) error {
	ctx, stop := untilInterrupted()
	defer stop()
	tokens, err := f.tokens()
	if err != nil {
		return err
	}
	trusted, err := f.trusted()
	if err != nil {
		return err
	}
	var results []*bench.Result
	failed := false
	for _, o := range all {
		o.TLS = trusted
		o.Server, o.Remote, o.PID, o.Raw, o.Tokens = f.Server, f.Remote, f.PID, f.Raw, tokens
		r, err := f.one(ctx, std.err, w, o)
		if err != nil {
			if bad, ok := errors.AsType[*bench.OptionError](err); ok {
				return usageError{bad}
			}
			return err
		}
		failed = failed || r.Failed()
		results = append(results, r)
	}
	show := bench.Print
	if f.JSON {
		show = bench.PrintJSON
	}
	if err := show(std.out, results...); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if w != bench.Join && w != bench.Idle { // the other workloads leave messages
		fmt.Fprintln(std.err, "kaban: the rooms of this run, bench-…, stay on the server; a server with --data :memory: forgets them when it exits")
	}
	if failed {
		return errors.New("the server lost or repeated deliveries")
	}
	return nil
}

// one runs a workload and shows its progress: as a bar on a terminal, otherwise as
// a line every few seconds.
func (f *benchFlags) one(ctx context.Context, stderr io.Writer, w bench.Workload, o bench.Options) (*bench.Result, error) {
	const steps = 1000
	last, terminal := time.Now(), isTerminal(stderr)
	bar := progressbar.NewOptions(steps, progressbar.OptionSetWriter(stderr), progressbar.OptionSetVisibility(terminal),
		progressbar.OptionSetDescription(string(w)), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	defer bar.Finish()
	o.Progress = func(done float64, text string) {
		if terminal {
			bar.Describe(text)
			bar.Set(int(done * steps))
		} else if time.Since(last) >= 5*time.Second {
			last = time.Now()
			fmt.Fprintf(stderr, "kaban: %s\n", text)
		}
	}
	return bench.Run(ctx, w, o)
}
