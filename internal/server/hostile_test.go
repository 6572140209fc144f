package server_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(teststore.Main{M: m})
}

// A line that comes in pieces, or many that come at once, are the same lines.
func TestPieces(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	line := `{"type":"send","room":"lobby","id":"%d","content":"x"}` + "\r\n"
	for i, c := range fmt.Sprintf(line, 1) {
		ann.send(string(c))
		if i%7 == 0 {
			bob.alive() // nobody waits for the rest of it
		}
	}
	ann.expect("ack", "id", 1)
	bob.expect("message", "id", 1)
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, line, i+2)
	}
	ann.send(many.String())
	for i := range 200 {
		ann.expect("ack", "id", i+2)
		bob.expect("message", "id", i+2)
	}
}

// Who hangs up one side gets everything that is owed.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	f := serve(t)
	ann := f.join("ann")
	const n = 2000
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"type":"send","room":"lobby","id":"%d","content":"%s"}`+"\n", i, strings.Repeat("x", 100))
	}
	go ann.conn.Write([]byte(lines.String()))
	for i := range n {
		ann.expect("ack", "id", i)
	}
	bob := f.hello("bob")
	bob.say(`{"type":"join","room":"lobby","after":0}`)
	bob.send(`{"type":"pi`)
	bob.conn.(interface{ CloseWrite() error }).CloseWrite()
	bob.expect("joined")
	seqs := map[string]bool{}
	for {
		got, err := bob.next()
		if err != nil {
			break
		}
		switch got["type"] {
		case "message":
			seqs[fmt.Sprint(got["seq"])] = true
		case "error":
			if got["code"] != "bad_json" {
				t.Errorf("got %s", got)
			}
		default:
			t.Errorf("got %s", got)
		}
	}
	if len(seqs) != n {
		t.Errorf("got %d messages of %d", len(seqs), n)
	}
}

// Other protocols are cut off with an answer, one log line and no echo.
func TestOtherProtocols(t *testing.T) {
	onlyLines(t)
	f := serve(t)
	good, other := f.join("good"), f.join("other")
	for i, in := range []string{
		"GET /secret HTTP/1.1\r\nHost: example\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello without a newline",
		"SSH-2.0-OpenSSH_9.2p1\r\n",
		"NICK ann\r\nUSER ann 0 * :ann\r\n",
	} {
		p := f.dial()
		p.send(in)
		p.expect("error", "code", "bad_json")
		p.expectEnd("protocol")
		converse(good, other, fmt.Sprint(i))
	}
	if got := strings.Count(f.log.String(), "refused a connection"); got != 4 {
		t.Errorf("%d log lines, want 4:\n%s", got, f.log)
	}
	if strings.Contains(f.log.String(), "secret") {
		t.Errorf("the log repeats what came:\n%s", f.log)
	}
}

func TestSilentConnectionsAreCut(t *testing.T) {
	t.Parallel()
	for timeout := 100 * time.Millisecond; ; timeout *= 2 {
		nothing := start(t, conn.Config{HelloTimeout: timeout}, nil, dispatch.Options{}).dial()
		got, err := nothing.next()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && timeout < patience { // the time has passed before a handshake was over
			continue
		}
		if err != nil || got["code"] != "hello_required" {
			t.Fatalf("got %v, %v, want hello_required", got, err)
		}
		nothing.expectEnd("idle")
		break
	}
	// Another server, where a hello may take its time.
	f := start(t, conn.Config{Heartbeat: time.Second}, nil, dispatch.Options{})
	// Who says hello and then nothing is pinged twice, then given up.
	silent := f.hello("silent")
	pings := 0
	for {
		silent.conn.SetReadDeadline(time.Now().Add(patience))
		var got frame
		if err := silent.decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got["type"] != "ping" {
			if got["reason"] != "idle" || got["reconnect_after_ms"] == nil {
				t.Errorf("got %s, want goodbye idle", got)
			}
			break
		}
		pings++
	}
	if pings != 2 {
		t.Errorf("got %d pings, want 2", pings)
	}
	// Who answers stays.
	alive := f.hello("alive")
	for range 3 {
		var got frame
		alive.conn.SetReadDeadline(time.Now().Add(patience))
		if err := alive.decoder.Decode(&got); err != nil || got["type"] != "ping" {
			t.Fatalf("got %s, %v", got, err)
		}
		alive.say(`{"type":"pong"}`)
	}
	alive.alive()
}

// awaitMembers waits until the lobby has a number of members.
func (p *peer) awaitMembers(n int) {
	p.t.Helper()
	for {
		p.say(`{"type":"members","room":"lobby"}`)
		if got := p.expect("members"); len(got["usernames"].([]any)) == n {
			return
		}
	}
}

// A reader that takes nothing is cut, and resumes where it was.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	f := start(t, conn.Config{StallTimeout: time.Second}, teststore.New(t), dispatch.Options{})
	ann := f.join("ann")
	slow := f.hello("slow")
	slow.conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(256 << 10) // less than a segment of loopback makes TCP crawl
	slow.say(`{"type":"join","room":"lobby"}`)
	slow.expect("joined")
	ann.awaitMembers(2) // another node learns of it a moment later
	const n = 3000
	go func() {
		for i := range n {
			fmt.Fprintf(ann.conn, `{"type":"send","room":"lobby","id":"%d","content":"%s"}`+"\n", i, strings.Repeat("x", 4000))
		}
	}()
	for i := range n {
		ann.expect("ack", "id", i)
	}
	// It is cut while it sleeps: its name becomes free.
	ann.awaitMembers(1)
	seq, gone := 0, false
	for {
		got, err := slow.next()
		if err != nil {
			break
		}
		if got["type"] == "message" {
			seq++
			if fmt.Sprint(got["seq"]) != fmt.Sprint(seq) {
				t.Fatalf("got seq %v, want %d", got["seq"], seq)
			}
		}
		gone = gone || got["reason"] == "slow_consumer"
	}
	if seq == n {
		t.Fatal("it got everything: it was not slow")
	}
	t.Logf("cut after %d messages, goodbye arrived: %v", seq, gone)
	for try := 0; seq < n; try++ { // on a busy machine it is cut again
		back := f.hello(fmt.Sprint("slow-", try))
		back.say(`{"type":"join","room":"lobby","after":%d}`, seq)
		back.expect("joined", "head", n)
		for seq < n {
			got, err := back.next()
			if err != nil || got["reason"] == "slow_consumer" {
				break
			}
			if seq++; got["type"] != "message" || fmt.Sprint(got["seq"]) != fmt.Sprint(seq) {
				t.Fatalf("got %v, want message %d", got, seq)
			}
		}
	}
}

// maxSlowdown is by what factor the typical round trip of good peers may grow
// while a crowd of bad ones comes: a good deal of work, but no waiting for
// anybody.
const maxSlowdown = 50

// Crowds of bad peers of each kind do not disturb two good ones: all of their
// messages come, and half of them about as soon as without the crowd. No
// absolute time is judged.
func TestGoodPeersAmongBadOnes(t *testing.T) {
	f := startWith(t, chat.Options{MaxContent: 16000}, conn.Config{}, nil, dispatch.Options{})
	good, other := f.join("good"), f.join("other")
	alone := typicalRound(t, good, other, "alone")
	crowd := crowdOf(1000)
	for kind, behave := range map[string]func(i int, conn net.Conn){
		"says-nothing": func(int, net.Conn) {},
		"never-reads": func(i int, conn net.Conn) {
			room := "lobby" // for some: each there is a delivery more
			if i%20 > 0 {
				room = "elsewhere"
			}
			fmt.Fprintf(conn, `{"type":"hello","version":1,"username":"deaf-%d"}`+"\n"+`{"type":"join","room":%q,"after":0}`+"\n", i, room)
		},
		"floods": func(_ int, conn net.Conn) {
			conn.Write([]byte(strings.Repeat("x", 100_000)))
		},
		"resets": func(i int, conn net.Conn) {
			fmt.Fprintf(conn, `{"type":"hello","version":1,"username":"reset-%d"}`+"\n"+`{"type":"send","ro`, i)
			conn.(interface{ SetLinger(int) error }).SetLinger(0)
			conn.Close()
		},
		"comes-and-goes": func(i int, conn net.Conn) {
			fmt.Fprintf(conn, `{"type":"hello","version":1,"username":"moth-%d"}`+"\n"+`{"type":"join","room":"lobby"}`+"\n", i)
			conn.Close()
		},
	} {
		var bad sync.WaitGroup
		conns := make([]net.Conn, crowd)
		bad.Go(func() {
			for i := range conns {
				conn := f.dialConn()
				conns[i] = conn
				conn.SetDeadline(time.Now().Add(patience))
				behave(i, conn)
			}
		})
		crowded := typicalRound(t, good, other, kind)
		bad.Wait()
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
		if crowded > maxSlowdown*alone && crowded > maxSlowdown*typicalRound(t, good, other, "after "+kind) {
			t.Errorf("%s: the typical round trip takes %v, alone it took %v", kind, crowded, alone)
		}
	}
}

// typicalRound returns how long a typical round trip of two peers takes: the best
// median of three, because another program may take the processors for a while.
func typicalRound(t *testing.T, good, other *peer, kind string) time.Duration {
	t.Helper()
	const parts, n = 3, 100
	best := time.Duration(math.MaxInt64)
	for part := range parts {
		var took []time.Duration
		for i := range n {
			began := time.Now()
			converse(good, other, fmt.Sprint(strings.ReplaceAll(kind, " ", "-"), "-", part, "-", i))
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%s: p50 %v, p99 %v", kind, took[n/2], took[n*99/100])
		best = min(best, took[n/2])
	}
	return best
}

// Who asks for lists of a large server without end does not hold up others.
func TestListsHoldUpNobody(t *testing.T) {
	const rooms, members = 30_000, 1000
	s := memory.New(1 << 30)
	batch := make([]kaban.Draft, rooms)
	for i := range batch {
		batch[i] = storetest.Draft(t, fmt.Sprintf("room-%d", i), "ann", fmt.Sprint("id-", i), "x")
	}
	if err := s.Append(t.Context(), storetest.Writes(batch...), make([]store.Result, rooms)); err != nil {
		t.Fatal(err)
	}
	onlyLines(t)
	f := start(t, conn.Config{Loops: 1}, s, dispatch.Options{PresenceDelay: time.Hour})
	for i := range members {
		conn := f.dialConn()
		defer conn.Close()
		fmt.Fprintf(conn, `{"type":"hello","version":1,"username":"member-%d"}`+"\n"+`{"type":"join","room":"hall"}`+"\n", i)
	}
	good, other := f.join("good"), f.join("other")
	alone := typicalRound(t, good, other, "alone")
	for kind, request := range map[string]string{"rooms": `{"type":"rooms","limit":100}`, "members": `{"type":"members","room":"hall","limit":100}`} {
		greedy := f.dialConn()
		greedy.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(greedy, `{"type":"hello","version":1,"username":"greedy-%s"}`+"\n", kind)
		var group sync.WaitGroup
		group.Go(func() { // it ends when the connection is closed
			for {
				if _, err := greedy.Write([]byte(strings.Repeat(request+"\n", 100))); err != nil {
					return
				}
			}
		})
		group.Go(func() { io.Copy(io.Discard, greedy) })
		crowded := typicalRound(t, good, other, kind)
		greedy.Close()
		group.Wait()
		const most = 2 * maxSlowdown // the race detector slows long pages more than short frames
		if crowded > most*alone && crowded > most*typicalRound(t, good, other, "after "+kind) {
			t.Errorf("%s: the typical round trip takes %v, alone it took %v", kind, crowded, alone)
		}
	}
}

// exhausted is a listener without descriptors for a while.
type exhausted struct {
	net.Listener
	mu    sync.Mutex
	times int
}

func (e *exhausted) Accept() (net.Conn, error) {
	e.mu.Lock()
	failing := e.times > 0
	e.times--
	e.mu.Unlock()
	if failing {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

func TestAcceptBacksOff(t *testing.T) {
	onlyLines(t)
	f := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveLines(f.server, &exhausted{Listener: l, times: 4}) }()
	f.addr = l.Addr().String()
	f.hello("ann").alive()
	if log := f.log.String(); strings.Count(log, "cannot accept") != 1 || !strings.Contains(log, "accepting again") {
		t.Errorf("the log has:\n%s", log)
	}
	f.manager.Close()
	<-done
}

// A resumed replay that is cut anywhere goes on without a gap or a repeat.
func TestCutsInReplays(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	const n = 200
	for i := range n {
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"x"}`, i)
		ann.expect("ack", "id", i)
	}
	got := 0
	for step := 1; got < n; step++ {
		p := f.hello(fmt.Sprint("reader-", step))
		p.say(`{"type":"join","room":"lobby","after":%d}`, got)
		p.expect("joined", "head", n)
		for range min(step%17, n-got) {
			got++
			p.expect("message", "seq", got)
		}
		p.conn.Close()
	}
}
