package bench

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func valid() Options {
	return Options{Server: "127.0.0.1:6440", Rooms: 1, Members: 10, Senders: 2, Payload: 100, InFlight: 8, Rate: 10, Duration: time.Second}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name   string
		work   Workload
		change func(*Options)
		want   string // in the error; "" for no error
	}{
		{"all right", Flood, func(*Options) {}, ""},
		{"localhost by name", Flood, func(o *Options) { o.Server = "localhost:6440" }, ""},
		{"no host", Flood, func(o *Options) { o.Server = ":6440" }, ""},
		{"IPv6", Latency, func(o *Options) { o.Server = "[::1]:6440" }, ""},
		{"WebSocket", Flood, func(o *Options) { o.Server = "ws://localhost:6480" }, ""},
		{"WebSocket elsewhere", Flood, func(o *Options) { o.Server = "ws://192.0.2.1:6480" }, "needs --remote"},
		{"raw lines over WebSocket", Flood, func(o *Options) { o.Server, o.Raw = "ws://127.0.0.1:6480", true }, "do not support WebSocket"},
		{"another machine", Flood, func(o *Options) { o.Server = "192.0.2.1:6440" }, "needs --remote"},
		{"another machine, meant", Flood, func(o *Options) { o.Server, o.Remote = "192.0.2.1:6440", true }, ""},
		{"a process elsewhere", Flood, func(o *Options) { o.Server, o.Remote, o.PID = "192.0.2.1:6440", true, 1 }, "--pid needs a server on this machine"},
		{"no port", Flood, func(o *Options) { o.Server = "127.0.0.1" }, ""},
		{"TLS elsewhere, bare", Flood, func(o *Options) { o.Server, o.Remote, o.Raw = "192.0.2.1", true, true }, "do not support TLS"},
		{"a base path", Flood, func(o *Options) { o.Server = "https://localhost/chat" }, ""},
		{"a path without a page", Flood, func(o *Options) { o.Server = "tls://localhost/chat" }, "has a path"},
		{"another scheme", Flood, func(o *Options) { o.Server = "ftp://localhost" }, "does not start with tcp://"},
		{"port 0", Flood, func(o *Options) { o.Server = "127.0.0.1:0" }, "has a bad port"},
		{"one member", Flood, func(o *Options) { o.Members = 1 }, "--members"},
		{"senders at another node", Flood, func(o *Options) { o.SendersAt = "127.0.0.1:6441" }, ""},
		{"latency from another node", Latency, func(o *Options) { o.Server, o.SendersAt = "ws://localhost:6480", "ws://localhost:6481" }, ""},
		{"senders at another machine", Flood, func(o *Options) { o.SendersAt = "192.0.2.1:6440" }, "--senders-at: tls://192.0.2.1:6440 is not this machine"},
		{"senders with another protocol", Flood, func(o *Options) { o.SendersAt = "ws://localhost:6480" }, "--senders-at must be an address of the same kind"},
		{"senders with another name", Flood, func(o *Options) { o.Server, o.SendersAt = "tls://localhost:6441", "tls://127.0.0.1:6442" }, "--senders-at must be an address of the same kind"},
		{"senders nowhere", Flood, func(o *Options) { o.SendersAt = "ftp://localhost" }, "--senders-at: "},
		{"senders of sign-ins", Join, func(o *Options) { o.SendersAt = "127.0.0.1:6441" }, "join does not support --senders-at"},
		{"no room", Flood, func(o *Options) { o.Rooms = 0 }, "--rooms"},
		{"more senders than members", Flood, func(o *Options) { o.Senders = 11 }, "--senders"},
		{"too many connections", Flood, func(o *Options) { o.Rooms = MaxConnections/10 + 1 }, "the number of connections must be 1 to 20000, not 20010"},
		{"too many in flight", Flood, func(o *Options) { o.InFlight = MaxInFlight + 1 }, "--in-flight"},
		{"payload too small", Flood, func(o *Options) { o.Payload = MinPayload - 1 }, "--payload"},
		{"payload too large", Durable, func(o *Options) { o.Payload = MaxPayload + 1 }, "--payload"},
		{"too long", Flood, func(o *Options) { o.Warmup = MaxTime }, "together must be at most 10m0s"},
		{"too short", Flood, func(o *Options) { o.Duration = 0 }, "--duration must be at least"},
		{"rate 0", Latency, func(o *Options) { o.Rate = 0 }, "--rate"},
		{"rate too high", Latency, func(o *Options) { o.Rate = MaxRate + 1 }, "--rate"},
		{"stalled too many", Stalled, func(o *Options) { o.Stalled = MaxConnections }, "the number of connections"},
		{"stalled too long", Stalled, func(o *Options) { o.Duration = MaxStalledTime + 1 }, "at most 11s, not 11.000000001s"},
		{"idle", Idle, func(o *Options) { o.Payload, o.Senders = 0, 0 }, ""},
		{"join needs no time", Join, func(o *Options) { o.Duration = 0 }, ""},
		{"join, too many", Join, func(o *Options) { o.Members = MaxConnections + 1 }, "--members"},
		{"durable, none", Durable, func(o *Options) { o.Senders = 0 }, "--senders"},
		{"durable, more rooms than senders", Durable, func(o *Options) { o.Rooms = 3 }, "--rooms"},
		{"raw join", Join, func(o *Options) { o.Raw = true }, "raw lines do not support join"},
		{"reactions", Durable, func(o *Options) { o.React = true }, ""},
		{"latency of reactions", Latency, func(o *Options) { o.React = true }, "latency does not support reactions"},
		{"raw reactions", Flood, func(o *Options) { o.React, o.Raw = true, true }, "raw lines do not support reactions"},
		{"until it is idle", Flood, func(o *Options) { o.Settle, o.PID = true, 1 }, ""},
		{"until it is idle without a process", Flood, func(o *Options) { o.Settle = true }, "--settle needs --pid"},
		{"sign-ins until it is idle", Join, func(o *Options) { o.Settle, o.PID = true, 1 }, "join does not support --settle"},
		{"negative pid", Flood, func(o *Options) { o.PID = -1 }, "--pid"},
		{"unknown", "dance", func(*Options) {}, "unknown workload"},
	} {
		o := valid()
		test.change(&o)
		err := o.check(test.work)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: got %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if _, ok := errors.AsType[*OptionError](err); err != nil && !ok {
			t.Errorf("%s: %T is not an OptionError", test.name, err)
		}
	}
}

// TestReportOfReactions wants the report to name reactions, and the command to repeat them.
func TestReportOfReactions(t *testing.T) {
	r := &Result{Workload: Flood, Options: valid(), Seconds: 1, Messages: 10, Deliveries: 90, DeliveriesPerSecond: 90}
	r.Options.React = true
	var table, lines strings.Builder
	if err := errors.Join(Print(&table, r), PrintJSON(&lines, r)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"reactions/s", " --react", "8 in flight each, reactions"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is missing:\n%s", want, table.String())
		}
	}
	if !strings.Contains(lines.String(), `"react":true`) {
		t.Errorf("got %s", lines.String())
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("7 (a ) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 2 3"))
	if err != nil || got != 3 {
		t.Errorf("got %v, %v, want 3 seconds", got, err)
	}
	if _, err := parseStat([]byte("7 (x) S 1")); err == nil {
		t.Error("a truncated line is accepted")
	}
	anon, hwm := parseStatus([]byte("Name:\tx\nVmHWM:\t  5124 kB\nVmRSS:\t 4000 kB\nRssAnon:\t    1536 kB\n"))
	if anon != 1536 || hwm != 5124 {
		t.Errorf("got %d, %d, want 1536, 5124", anon, hwm)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	u, err := usageOf(os.Getpid())
	if err != nil || u.anon <= 0 || u.hwm <= 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	if _, err := usageOf(1 << 30); err == nil {
		t.Error("a missing process is read")
	}
}

// TestReport checks that each result has a table and that the failure is in it.
func TestReport(t *testing.T) {
	h := newHistogram()
	record(h, int64(3*time.Millisecond))
	p := percentiles(h)
	for _, r := range []*Result{
		{Workload: Flood, Options: valid(), Seconds: 1, Messages: 10, Deliveries: 90, DeliveriesPerSecond: 90, Series: []float64{1, 2, 3}, Lost: 2},
		{Workload: Latency, Options: valid(), Latency: &p, Repeated: 1},
		{Workload: Idle, Options: valid(), Idle: &IdleResult{Connections: 10}, Lost: 1},
		{Workload: Stalled, Options: valid(), Stalled: &StallResult{Idle: p, Stalled: p}, Foreign: 1},
		{Workload: Join, Options: valid(), Join: &JoinResult{Connections: 10}, Lost: 1},
		{Workload: Durable, Options: valid(), Durable: &DurableShown{Senders: 1, Latency: p}, Lost: 1},
	} {
		var table, lines strings.Builder
		if err := errors.Join(Print(&table, r), PrintJSON(&lines, r)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(table.String(), "FAILED") || !strings.Contains(table.String(), "kaban bench ") {
			t.Errorf("%s: the failure or the command is missing:\n%s", r.Workload, table.String())
		}
		if got := strings.Count(lines.String(), "\n"); got != 1 || !strings.Contains(lines.String(), `"workload":"`+string(r.Workload)) {
			t.Errorf("%s: %d lines of JSON: %s", r.Workload, got, lines.String())
		}
	}
}
