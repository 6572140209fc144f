package telemetry_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/backup"
	"kaban/internal/bus"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/disk"
	"kaban/internal/dispatch"
	"kaban/internal/hook"
	"kaban/internal/index"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/push"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/internal/telemetry"
	"kaban/internal/tlstest"
	"kaban/internal/web"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// trouble is a store that fails, or waits, when a test says so.
type trouble struct {
	*sqlite.Store
	failing        atomic.Bool
	appends, reads sync.RWMutex // held by a test to have calls wait
	delay          atomic.Int64 // of appends
	journal        atomic.Int64 // bytes that its files have more than they do
}

func (s *trouble) Size() store.Size {
	size := s.Store.Size()
	size.Files["journal"] += s.journal.Load()
	return size
}

var errTrouble = errors.New("the test has the store fail")

func (s *trouble) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if s.failing.Load() {
		return errTrouble
	}
	time.Sleep(time.Duration(s.delay.Load()))
	s.appends.RLock()
	defer s.appends.RUnlock()
	return s.Store.Append(ctx, writes, results)
}

func (s *trouble) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	s.reads.RLock()
	defer s.reads.RUnlock()
	return s.Store.Read(ctx, room, p)
}

// fixture is a whole server.
type fixture struct {
	t        testing.TB
	store    *trouble
	manager  *conn.Manager
	lines    *server.Server
	web      *web.Server
	accounts *account.Service
	hooks    *hook.Service
	operator hook.By
	limits   *limit.Limits
	// HOST:PORT of each listener.
	tcp, tls, http, https string

	sources     telemetry.Sources
	registry    *prometheus.Registry
	disk        disk.Space
	diskError   error
	certificate time.Time
	backups     backup.Status
	search      index.Status
	pushes      push.Stats
	database    telemetry.Database
	bus         bus.Stats
	nodes       int
	peers       dispatch.Stats // what there is of other nodes
	names       int
}

// stall is how long a client of a fixture may take nothing.
const stall = 200 * time.Millisecond

func start(t testing.TB) *fixture {
	t.Helper()
	kept, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: &trouble{Store: kept}, disk: disk.Space{Free: 60 << 30, Total: 100 << 30}, certificate: time.Now().Add(60 * 24 * time.Hour)}
	f.backups.Last.Time = time.Now().Add(-time.Hour)
	d, err := dispatch.New(t.Context(), f.store, dispatch.Options{TailBytes: 4 << 10, TailBudget: 1 << 20})
	must(t, err)
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	must(t, err)
	searched := index.Open(kept, "", index.Options{})
	d.SetOnGrown(searched.Grew)
	rooms.SetIndex(searched)
	f.manager, err = conn.New(conn.Config{Submit: rooms.Submit, StallTimeout: stall, MaxClients: 20_000, MaxFromAddress: 20_000})
	must(t, err)
	f.limits, err = limit.New(limit.Defaults(), conn.Stopwatch())
	must(t, err)
	f.accounts = account.New(kept, account.Options{
		Hashes: 1, SignIns: f.limits.SignIns, Log: slog.New(slog.DiscardHandler),
		OnRevoked: rooms.Revoke, OnChanged: rooms.AccountChanged, OnSettings: rooms.SettingChanged,
	})
	f.hooks = hook.New(f.accounts)
	f.operator = hook.By{User: rooms.Operator(), Actor: account.Operator()}
	f.lines = server.New(server.Config{Accounts: f.accounts, Limits: f.limits}, rooms, f.manager)
	f.web, err = web.New(web.Config{Accounts: f.accounts, Limits: f.limits}, rooms, f.lines)
	must(t, err)
	var serving sync.WaitGroup
	listen := func(serve func(net.Listener, peer.Rules) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		serving.Go(func() { serve(l, peer.Loopback()) })
		return l.Addr().String()
	}
	f.tcp, f.http = listen(f.lines.Serve), listen(f.web.Serve)
	f.tls = listen(func(l net.Listener, rules peer.Rules) error { return f.lines.ServeTLS(l, rules, tlstest.Server()) })
	f.https = listen(func(l net.Listener, rules peer.Rules) error { return f.web.ServeTLS(l, rules, tlstest.Server()) })
	t.Cleanup(func() {
		f.web.Close()
		f.manager.Close()
		serving.Wait()
		rooms.Close()
		d.Close()
		searched.Close()
		kept.Close()
	})
	f.sources = telemetry.Sources{
		Version: "1.2.3", Connections: f.manager.Stats, Dispatcher: d.Stats, Lines: f.lines.Stats, Pages: f.web.Stats,
		Chat: rooms.Counts, Accounts: f.accounts.Stats, Limits: f.limits.Exceeded, Store: f.store.Size,
		Disk:        func() (disk.Space, error) { return f.disk, f.diskError },
		Certificate: func() time.Time { return f.certificate }, Backups: func() backup.Status { return f.backups },
		Search:   func() index.Status { return f.search },
		Pushes:   func() push.Stats { return f.pushes },
		Database: func() telemetry.Database { return f.database }, Bus: func() bus.Stats { return f.bus }, Nodes: func() int { return f.nodes },
	}
	f.database.Up, f.bus.Connected = true, true
	f.sources.Dispatcher = func() dispatch.Stats {
		s := d.Stats()
		s.Believed, s.Asked, s.Foreign, s.Compared, s.Behind, s.Ahead = f.peers.Believed, f.peers.Asked, f.peers.Foreign, f.peers.Compared, f.peers.Behind, f.peers.Ahead
		return s
	}
	f.registry, err = telemetry.NewRegistry(f.sources)
	must(t, err)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scrape serves the fixture's metrics and returns the address.
func (f *fixture) scrape(profiles bool) string {
	f.t.Helper()
	s, err := telemetry.New(telemetry.Config{Sources: f.sources, Profiles: profiles})
	must(f.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(f.t, err)
	done := make(chan error, 1)
	go func() { done <- s.ServeUnder(l, peer.Loopback()) }()
	f.t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, telemetry.ErrClosed) {
			f.t.Errorf("ServeUnder: got %v, want ErrClosed", err)
		}
	})
	return l.Addr().String()
}

// families returns what a registry has now, by name.
func families(t testing.TB, from prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := from.Gather()
	must(t, err)
	named := make(map[string]*dto.MetricFamily)
	for _, family := range all {
		named[family.GetName()] = family
	}
	return named
}

// value returns the metric with the given values of labels, in the order of their
// names; the sum of all if none are given. A histogram's is its count.
func (f *fixture) value(name string, labels ...string) float64 {
	f.t.Helper()
	sum, found := 0.0, false
	for _, m := range families(f.t, f.registry)[name].GetMetric() {
		matches := len(labels) == 0
		if len(labels) > 0 && len(labels) == len(m.Label) {
			matches = true
			for i, l := range m.Label {
				matches = matches && l.GetValue() == labels[i]
			}
		}
		if matches {
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	if !found && len(labels) > 0 {
		f.t.Fatalf("there is no %s with %q", name, labels)
	}
	return sum
}

// client speaks kaban/1.
type client struct {
	t     testing.TB
	conn  net.Conn
	lines *bufio.Scanner
}

func (f *fixture) dial() *client {
	f.t.Helper()
	c, err := net.Dial("tcp", f.tcp)
	must(f.t, err)
	f.t.Cleanup(func() { c.Close() })
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	return &client{f.t, c, lines}
}

// dialTLS connects to an address with a handshake.
func (f *fixture) dialTLS(address string) {
	f.t.Helper()
	c, err := tls.Dial("tcp", address, tlstest.Client())
	must(f.t, err)
	f.t.Cleanup(func() { c.Close() })
}

// hello connects under a new name.
func (f *fixture) hello() *client {
	f.t.Helper()
	c := f.dial()
	f.names++
	c.say(`{"type":"hello","version":1,"username":"user%d"}`, f.names)
	c.expect("welcome")
	return c
}

// member is hello and a room.
func (f *fixture) member(room string) *client {
	f.t.Helper()
	c := f.hello()
	c.say(`{"type":"join","room":%q}`, room)
	c.expect("joined")
	return c
}

func (c *client) say(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.conn, format+"\n", args...)
	must(c.t, err)
}

// expect reads until a frame of a type comes, and returns it.
func (c *client) expect(kind string) string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	for c.lines.Scan() {
		if strings.HasPrefix(c.lines.Text(), `{"type":"`+kind+`"`) {
			return c.lines.Text()
		}
	}
	c.t.Fatalf("waiting for %s: %v", kind, c.lines.Err())
	return ""
}

// send sends a message and waits for its ack.
func (c *client) send(room, id, content string) {
	c.t.Helper()
	c.say(`{"type":"send","room":%q,"id":%q,"content":%q}`, room, id, content)
	c.expect("ack")
}

// get makes a request of HTTP.
func (f *fixture) get(method, path, body string) {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.http+path, strings.NewReader(body))
	must(f.t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	must(f.t, err)
	f.t.Cleanup(func() { response.Body.Close() })
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// eventually waits until something is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
	}
}
