package nats

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"kaban/internal/bus"
	"kaban/internal/bus/bustest"
	"kaban/internal/logs/logstest"
)

const (
	patience = time.Minute
	password = "password-of-the-test"
)

var secret = strings.Repeat("secret of the test ", 3)

// start starts a server.
func start(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, Username: "kaban", Password: password, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { stop(s) })
	return s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// relay is an address that leads to one server after another, or to none: a port that a server
// had may be somebody else's by the next one.
type relay struct {
	listener net.Listener
	target   atomic.Pointer[string]
	group    sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l}
	r.group.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.group.Wait()
	})
	return r
}

func (r *relay) url() string { return "nats://" + r.listener.Addr().String() }

func (r *relay) lead(s *server.Server) {
	address := s.Addr().String()
	r.target.Store(&address)
}

func (r *relay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.group.Go(func() { r.carry(from) })
	}
}

func (r *relay) carry(from net.Conn) {
	defer from.Close()
	address := r.target.Load()
	if address == nil {
		return
	}
	to, err := net.Dial("tcp", *address)
	if err != nil {
		return
	}
	defer to.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, to)
		_ = from.Close()
	})
	_, _ = io.Copy(to, from)
	_ = to.Close()
	back.Wait()
}

func optionsOf(s *server.Server) Options {
	return Options{URLs: []string{s.ClientURL()}, Secret: secret, Username: "kaban", Password: password}
}

func open(t *testing.T, options Options) bus.Bus {
	t.Helper()
	b, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T) func() bus.Bus {
		s := start(t)
		return func() bus.Bus { return open(t, optionsOf(s)) }
	})
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// A server that comes back is used again, and the receiver is told each time. Meanwhile
// nobody waits.
func TestReconnect(t *testing.T) {
	r, s := newRelay(t), start(t)
	r.lead(s)
	options := optionsOf(s)
	options.URLs = []string{r.url()}
	one, two := bustest.Join(t, open(t, options)), bustest.Join(t, open(t, options))
	for times := 1; times <= 3; times++ {
		one.WaitLost(times, bus.Connected)
		two.WaitLost(times, bus.Connected)
		bustest.Meet(t, one, two)
		r.target.Store(nil)
		stop(s)
		waitFor(t, "disconnected", func() bool { return !one.Stats().Connected && !two.Stats().Connected })
		before := one.Stats()
		for range 2 * bus.QueueHints {
			one.Publish(&bus.Hint{Epoch: "E", Room: bustest.Room(t, "lobby"), Head: 666})
		}
		waitFor(t, "dropped", func() bool { return one.Stats().Dropped == before.Dropped+2*bus.QueueHints })
		s = start(t)
		r.lead(s)
	}
	one.WaitLost(4, bus.Connected)
	two.WaitLost(4, bus.Connected)
	bustest.Meet(t, one, two)
	if two.Has("lobby", 666) {
		t.Error("what was published without a connection arrives later")
	}
}

// A node may start before the bus.
func TestStartWithoutTheBus(t *testing.T) {
	r := newRelay(t)
	n := bustest.Join(t, open(t, Options{URLs: []string{r.url()}, Secret: secret, Username: "kaban", Password: password}))
	if s := n.Stats(); s.Connected || s.Connects > 0 {
		t.Errorf("without a server: counted %+v", s)
	}
	r.lead(start(t))
	n.WaitLost(1, bus.Connected)
}

// Whoever has access to NATS, but not the secret, is not heard.
func TestForgedHints(t *testing.T) {
	s := start(t)
	n := bustest.Join(t, open(t, optionsOf(s)))
	n.WaitLost(1, bus.Connected)
	forger, err := client.Connect(s.ClientURL(), client.UserInfo("kaban", password))
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	h := &bus.Hint{Epoch: "E", Room: bustest.Room(t, "lobby"), Head: 666}
	key, err := bus.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := bus.NewKey(strings.Repeat("another secret ", 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, h.Append(nil), other.Seal(h.Append(nil)), key.Seal([]byte("no hint")), key.Seal(nil)} {
		if err := forger.Publish("kaban.hint.3", data); err != nil {
			t.Fatal(err)
		}
	}
	h.Head = 1
	if err := forger.Publish("kaban.hint.3", key.Seal(h.Append(nil))); err != nil { // behind them
		t.Fatal(err)
	}
	n.WaitHint("lobby", 1)
	if s := n.Stats(); s.Forged != 3 || s.Malformed != 2 || s.Received != 1 || n.Has("lobby", 666) {
		t.Errorf("counted %+v", s)
	}
}

// A bus with a wrong password goes on trying. Neither password nor secret is in the log.
func TestTheLogHasNoSecrets(t *testing.T) {
	s := start(t)
	log := new(logstest.Buffer)
	options := optionsOf(s)
	options.Password, options.Log = "wrong-password", slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	wrong := bustest.Join(t, open(t, options))
	options.Password = password
	right := bustest.Join(t, open(t, options))
	right.WaitLost(1, bus.Connected)
	wrong.Publish(&bus.Hint{Epoch: "E", Room: bustest.Room(t, "lobby"), Head: 1})
	waitFor(t, "dropped", func() bool { return wrong.Stats().Dropped > 0 })
	if s := wrong.Stats(); s.Connected || s.Connects > 0 || s.Published > 0 {
		t.Errorf("with a wrong password: counted %+v", s)
	}
	stop(s)
	waitFor(t, "in the log", func() bool { return strings.Contains(log.String(), "lost the connection") })
	for _, hidden := range []string{"wrong-password", password, secret} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log has %q:\n%s", hidden, log)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		url    string
		plain  bool
		reason string
	}{
		{"nats://ann:pw@127.0.0.1:4222", false, "has a name or a password"},
		{"nats://pw@127.0.0.1:4222", false, "has a name or a password"},
		{"nats://10.1.2.3:4222", false, "must be tls://"},
		{"nats://nats.example.org:4222", false, "must be tls://"},
		{"http://127.0.0.1:4222", false, "neither"},
		{"127.0.0.1:4222", false, "is not like"},
		{"nats://127.0.0.1:4222/path", false, "is not like"},
		{"nats://", false, "is not like"},
		{"", false, "is not like"},
		{"nats://localhost:4222", false, ""},
		{"nats://[::1]:4222", false, ""},
		{"nats://10.1.2.3:4222", true, ""},
		{"tls://nats.example.org:4222", false, ""},
	} {
		if got := problem(c.url, c.plain); c.reason == "" && got != "" || !strings.Contains(got, c.reason) {
			t.Errorf("%s: %q, want %q", c.url, got, c.reason)
		}
	}
	_, err := Open(Options{URLs: []string{"nats://localhost:1", "nats://ann:hidden@localhost:1"}, Secret: secret})
	if bad, ok := errors.AsType[*AddressError](err); !ok || bad.Index != 1 || strings.Contains(err.Error(), "hidden") {
		t.Errorf("an address with a password: %v", err)
	}
	if _, err := Open(Options{URLs: []string{"nats://localhost:1"}, Secret: "short"}); !errors.Is(err, bus.ErrShortSecret) {
		t.Errorf("a short secret: %v", err)
	}
	if _, err := Open(Options{URLs: []string{"nats://localhost:1"}, Secret: secret, CredentialsFile: fmt.Sprint(t.TempDir(), "/none")}); err == nil {
		t.Error("a file of credentials that is not there is no error")
	}
}

func TestPauses(t *testing.T) {
	for rounds, whole := range map[int]time.Duration{0: minPause, 1: minPause, 2: 2 * minPause, 5: 16 * minPause, 7: maxPause, 10: maxPause, 1 << 30: maxPause} {
		for range 100 {
			if got := pause(rounds); got < whole/2 || got >= whole {
				t.Fatalf("after %d rounds: %v, want %v to %v", rounds, got, whole/2, whole)
			}
		}
	}
}
