package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"kaban/internal/bus"
	"kaban/internal/bus/bustest"
	"kaban/internal/logs/logstest"
)

const patience = time.Minute

var secret = strings.Repeat("secret of the test ", 3)

func open(t *testing.T, options Options) *Bus {
	t.Helper()
	b, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Each node of the suite is a server of its own.
func TestBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T) func() bus.Bus {
		var peers []string
		return func() bus.Bus {
			b := open(t, Options{Listen: "127.0.0.1:0", Peers: peers, Secret: secret})
			peers = append(peers, b.Address())
			return b
		}
	})
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// Three nodes, of which each knows one other, hear each other. Whoever is left goes on when one
// ends, and is told when another one comes.
func TestThreeNodes(t *testing.T) {
	one := open(t, Options{Listen: "127.0.0.1:0", Secret: secret})
	two := open(t, Options{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{one.Address()}})
	three := open(t, Options{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{two.Address()}})
	a, b, c := bustest.Join(t, one), bustest.Join(t, two), bustest.Join(t, three)
	bustest.Meet(t, a, b, c)
	waitFor(t, "connected to two each", func() bool { return one.Routes() == 2 && two.Routes() == 2 && three.Routes() == 2 })
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "alone", func() bool { return one.Routes() == 1 && three.Routes() == 1 })
	a.Publish(&bus.Hint{Epoch: "E", Room: bustest.Room(t, "lobby"), Head: 1})
	c.WaitHint("lobby", 1)
	four := bustest.Join(t, open(t, Options{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{three.Address()}}))
	bustest.Meet(t, a, c, four)
}

// A node needs both the password of routes and a certificate of the cluster, and the log says
// nothing secret.
func TestStrangers(t *testing.T) {
	log := new(logstest.Buffer)
	otherSecret := strings.Repeat("another secret ", 3)
	right, err := certificates(secret)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := certificates(otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]Options{
		"no secret":                          {Secret: otherSecret},
		"the password, another authority":    {Secret: secret, TLS: wrong},
		"the password, and no certificate":   {Secret: secret, TLS: &tls.Config{InsecureSkipVerify: true}},
		"a certificate and another password": {Secret: otherSecret, TLS: right},
	} {
		t.Run(name, func(t *testing.T) {
			one := open(t, Options{Listen: "127.0.0.1:0", Secret: secret, Log: slog.New(slog.NewTextHandler(log, nil))})
			before := strings.Count(log.String(), "\n")
			options.Listen, options.Peers = "127.0.0.1:0", []string{one.Address()}
			open(t, options)
			waitFor(t, "refused", func() bool { return strings.Count(log.String(), "\n") > before })
			if n := one.Routes(); n != 0 {
				t.Errorf("there are %d routes", n)
			}
		})
	}
	derived, err := serverOptions(&Options{Listen: "127.0.0.1:0", Secret: otherSecret}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, otherSecret, derived.Cluster.Password} {
		if strings.Contains(log.String(), s) {
			t.Errorf("the log has %q:\n%s", s, log)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Listen: "127.0.0.1", Secret: secret},
		{Listen: "127.0.0.1:x", Secret: secret},
		{Listen: "127.0.0.1:65536", Secret: secret},
		{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{"node"}},
		{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{"node:0"}},
		{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{"nats://node:1"}},
	} {
		if _, err := Open(o); !errors.As(err, new(*AddressError)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := Open(Options{Listen: "127.0.0.1:0", Secret: "short"}); !errors.Is(err, bus.ErrShortSecret) {
		t.Errorf("a short secret: %v", err)
	}
}

// A node that is not there is said once, in words that say what to do, and not at each attempt.
func TestANodeThatIsNotThere(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	log := new(logstest.Buffer)
	options := Options{Listen: "127.0.0.1:0", Secret: secret, Peers: []string{closed.Addr().String()}, Log: slog.New(slog.NewTextHandler(log, nil))}
	open(t, options)
	waitFor(t, "said", func() bool { return strings.Contains(log.String(), "another node is not reached") })
	if o, err := serverOptions(&options, ""); err != nil || o.ConnectErrorReports != reports || o.ReconnectErrorReports != reports {
		t.Errorf("said would be %d and %d of all attempts, %v", o.ConnectErrorReports, o.ReconnectErrorReports, err)
	}
}

// What the server says loses its secrets on the way to the log.
func TestTheLoggerHidesSecrets(t *testing.T) {
	log := new(logstest.Buffer)
	l := newLogger(slog.New(slog.NewTextHandler(log, nil)), "pass-word")
	l.Errorf("route to nats://kaban:%s@host", "pass-word")
	l.Warnf("pass-word")
	l.Fatalf("%d", 7)
	l.Noticef("a notice")
	l.Debugf("a detail")
	l.Tracef("a trace")
	if text := log.String(); strings.Contains(text, "pass-word") || strings.Count(text, "level=WARN") != 3 {
		t.Errorf("the log has\n%s", text)
	}
}

// A node that is away for a day is no reason for tens of thousands of lines, and nor is a stranger.
func TestTheLoggerSaysAProblemOnceInAWhile(t *testing.T) {
	log, now := new(logstest.Buffer), time.Unix(0, 0)
	l := newLogger(slog.New(slog.NewTextHandler(log, nil)))
	l.now = func() time.Time { return now }
	fails := func(address string, port int) {
		l.Errorf("%s:6650 - rid:%d - TLS route handshake error: read tcp 10.0.0.1:%d->%s:6650: i/o timeout", address, port/7, port, address)
	}
	for i := range 100 {
		fails("10.0.0.2", 40_000+i)
		fails("10.0.0.3", 50_000+i)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("200 lines about two nodes became %d, want 2", lines)
	}
	now = now.Add(quiet)
	fails("10.0.0.2", 1)
	fails("10.0.0.2", 2)
	if text := log.String(); strings.Count(text, "\n") != 3 || !strings.Contains(text, "repeated=99") {
		t.Errorf("later the log has\n%s", text)
	}
	for i := range 10 * maxProblems {
		fails(fmt.Sprintf("10.1.%d.%d", i/200, i%200), 1)
	}
	if lines, kept := strings.Count(log.String(), "\n"), len(l.problems); lines > 4+maxProblems || kept > 1+maxProblems {
		t.Errorf("%d strangers: %d lines, %d problems are kept", 10*maxProblems, lines, kept)
	}
}
