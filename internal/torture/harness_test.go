package torture

import (
	"cmp"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/tlstest"
)

var (
	seed   = flag.Uint64("torture.seed", 0, "seed of the random choices; 0: a new one each time")
	kills  = flag.Int("torture.kills", 8, "number of kills")
	losses = flag.Int("torture.losses", 5, "number of losses of unsynced data")
	syncs  = flag.Int("torture.syncs", 5, "number of syncs; each of them fails once")
	cuts   = flag.Int("torture.cuts", 400, "number of cut connections")
	drains = flag.Int("torture.drains", 5, "number of graceful shutdowns under load")
	flips  = flag.Int("torture.flips", 20, "number of flipped bits in a journal; half as many sectors are lost")
	folk   = flag.Int("torture.people", 6, "number of kills while accounts and memberships change")
	// fileKills is the number of kills of TestFilesUnderKills.
	fileKills = flag.Int("torture.files", 6, "number of kills while people send files")
	split     = flag.String("torture.split", "audit/", "the beginnings of the keys of documents that the control splits off, separated by commas")
)

// patience is how long a campaign waits for an expected event.
const patience = 2 * time.Minute

// room is the room of all campaigns.
const room = "lobby"

// binary is the server, built with failpoints.
var binary string

func TestMain(m *testing.M) {
	if address := os.Getenv(busRole); address != "" {
		fmt.Fprintln(os.Stderr, serveBus(address))
		os.Exit(1)
	}
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "kaban-torture")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kaban")
	if output, err := childtest.Go("build", "-tags", "failpoint", "-o", binary, "kaban/cmd/kaban").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, output)
	}
	defer postgrestest.Stop()
	return m.Run(), nil
}

// random returns the campaign's source of random choices. A campaign can be
// repeated with the same choices, but not with the same scheduling.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("-torture.seed %d", *seed)
	return rand.New(rand.NewPCG(*seed, 7))
}

// host runs, kills and restarts a server.
type host struct {
	t        *testing.T
	data     string
	database *database // nil: the data are in the directory
	shared   string    // the directory of files; "": they are in that of the data
	address  string
	web      string // the address of HTTP; "" is none
	process  *exec.Cmd
	exited   chan struct{} // closed once the process has ended
	err      error         // how it ended; read only after exited is closed
	log      *logTail
	scheme   string // default: tcp://
	cert     string // files of the certificate and its key; "": there are none
	key      string
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, data: filepath.Join(t.TempDir(), "data"), database: newDatabase(t), address: childtest.Address(t)}
	t.Cleanup(h.kill)
	return h
}

// encrypt has the server speak TLS, and returns whom its clients trust.
func (h *host) encrypt() *tls.Config {
	authority := tlstest.NewAuthority(h.t)
	cert, key := authority.Issue(24*time.Hour, "127.0.0.1")
	h.cert, h.key = authority.Write(h.t.TempDir(), cert, key)
	h.scheme = "tls://"
	return &tls.Config{RootCAs: authority.Pool(), ServerName: "127.0.0.1"}
}

// logTail keeps the end of a server's log and waits for text in it.
type logTail struct {
	mu    sync.Mutex
	text  []byte
	ready chan struct{}
	once  sync.Once
}

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if strings.Contains(string(l.text), "msg=ready") {
		l.once.Do(func() { close(l.ready) })
	}
	return len(p), nil
}

func (l *logTail) String() string {
	if l == nil {
		return "" // of a server that was not started
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// start runs a server with faults in its environment, and returns when it is ready
// or has ended.
func (h *host) start(faults ...string) {
	h.t.Helper()
	h.log = &logTail{ready: make(chan struct{})}
	// Small pages and tails, so that readers are often behind.
	h.process = exec.Command(binary, "serve", "--listen", cmp.Or(h.scheme, "tcp://")+h.address, "--tail-size", "4", "--tail-budget", "1", "--page-size", "50", "--heartbeat", "1s")
	h.process.Args = append(h.process.Args, h.place()...)
	if h.shared != "" {
		h.process.Args = append(h.process.Args, "--files", h.shared)
	}
	if h.web != "" {
		h.process.Args = append(h.process.Args, "--listen", "http://"+h.web)
	}
	if h.cert != "" {
		h.process.Args = append(h.process.Args, "--tls-cert", h.cert, "--tls-key", h.key)
	}
	h.process.Env = append(os.Environ(), faults...)
	h.process.Stderr = h.log
	childtest.Bind(h.process, syscall.SIGKILL)
	if err := h.process.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		h.err = process.Wait()
		close(exited)
	}(h.process, h.exited)
	select {
	case <-h.log.ready:
	case <-h.exited:
		if len(faults) == 0 {
			h.t.Fatalf("the server does not start: %v\n%s", h.err, h.log)
		}
	case <-time.After(patience):
		h.t.Fatalf("the server does not become ready:\n%s", h.log)
	}
}

// ended waits a while for the end of the server and reports whether it has ended.
func (h *host) ended(wait time.Duration) bool {
	select {
	case <-h.exited:
		return true
	case <-time.After(wait):
		return false
	}
}

func (h *host) signal(s os.Signal) { h.process.Process.Signal(s) }

// wait waits until something has happened.
func (h *host) wait(orElse string, happened func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) || h.ended(0) && !happened() {
			h.t.Fatalf("%s:\n%s", orElse, h.log)
		}
	}
}

// has reports whether a file is in the journal.
func (h *host) has(pattern string) bool {
	files, err := filepath.Glob(filepath.Join(h.data, "journal", pattern))
	return err == nil && len(files) > 0
}

// change begins or ends the faults of the disk.
func (h *host) change() {
	h.t.Helper()
	done := func() int { return strings.Count(h.log.String(), "disk: the faults have changed") }
	before := done()
	h.signal(syscall.SIGUSR2)
	h.wait("the faults of the disk do not change", func() bool { return done() > before })
}

// losePower ends the server, which loses what its disk may lose.
func (h *host) losePower() {
	h.t.Helper()
	h.signal(syscall.SIGUSR1)
	if !h.ended(patience) || !h.died() {
		h.t.Fatalf("the power cannot be lost:\n%s", h.log)
	}
}

// kill ends the server with SIGKILL.
func (h *host) kill() {
	if h.process != nil {
		h.process.Process.Kill()
		<-h.exited
	}
}

// stop shuts the server down gracefully.
func (h *host) stop() {
	h.t.Helper()
	h.signal(os.Interrupt)
	if !h.ended(patience) || h.err != nil {
		h.t.Fatalf("the server ended with %v:\n%s", h.err, h.log)
	}
}

// stored checks the database and returns the messages in the room.
func (h *host) stored() ([]Message, error) {
	s, err := h.archive(context.Background())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	report, err := s.Check(context.Background())
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return nil, err
	}
	lobby, err := kaban.ParseRoomName(room)
	if err != nil {
		return nil, err
	}
	var all []Message
	err = s.Export(context.Background(), []kaban.RoomName{lobby}, store.Receiver{Record: func(r *store.Record) error {
		all = append(all, Message{r.Seq, r.Author.Name().String(), r.Body})
		return nil
	}, Damaged: func(err error) error { return err }})
	return all, err
}

// state reads everything that is stored.
func (h *host) state() (*State, error) {
	s, err := h.archive(context.Background())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return ReadState(context.Background(), s)
}

// check fails the test for every violation.
func (h *host) check(history *History, when string) {
	h.t.Helper()
	stored, err := h.stored()
	if err != nil {
		h.t.Fatalf("%s: the database: %v", when, err)
	}
	if problems := history.Check(stored); len(problems) > 0 {
		h.t.Fatalf("%s: %d violations, the first are\n%s\nthe server's log ends\n%.3000s", when, len(problems), strings.Join(problems[:min(len(problems), 10)], "\n"), h.log)
	}
}
