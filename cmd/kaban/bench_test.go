package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer speaks as much kaban/1 as the load generator needs, and does
// something wrong with one message of the room.
type fakeServer struct {
	kind  string // of requests that are counted
	fault string
	at    int // the number of the request with the fault

	mu      sync.Mutex
	count   int
	seq     int
	members []net.Conn
	pongs   int
}

func startFake(t *testing.T, kind, fault string, at int) (*fakeServer, string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{kind: kind, fault: fault, at: at}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serving.Go(func() { f.serve(conn) })
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return f, listener.Addr().String()
}

func (f *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		f.handle(conn, lines.Text())
	}
}

func field(line, name string) string {
	_, rest, _ := strings.Cut(line, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func (f *fakeServer) handle(conn net.Conn, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch field(line, "type") {
	case "hello":
		fmt.Fprintf(conn, "{\"type\":\"welcome\",\"version\":1}\n")
	case "join":
		f.members = append(f.members, conn)
		fmt.Fprintf(conn, "{\"type\":\"joined\",\"room\":%q}\n{\"type\":\"ping\"}\n", field(line, "room"))
	case "pong":
		f.pongs++
	case "send", "react":
		f.seq++
		fault := ""
		if field(line, "type") == f.kind {
			if f.count++; f.count == f.at {
				fault = f.fault
			}
		}
		for _, member := range f.members {
			own := member == conn
			if own {
				f.deliver(member, own, "", line)
				continue
			}
			f.deliver(member, own, fault, line)
			fault = "" // one of the others is enough
		}
	}
}

// deliver gives a member what was sent, rightly or with a fault.
func (f *fakeServer) deliver(member net.Conn, own bool, fault, line string) {
	room, id, content, emoji := field(line, "room"), field(line, "id"), field(line, "content"), field(line, "emoji")
	message := func(seq int) {
		if own {
			fmt.Fprintf(member, "{\"type\":\"ack\",\"room\":%q,\"id\":%q,\"seq\":%d}\n", room, id, seq)
			return
		}
		if field(line, "type") == "react" {
			fmt.Fprintf(member, "{\"type\":\"react\",\"room\":%q,\"seq\":%d,\"id\":%q,\"emoji\":\"%s\"}\n", room, seq, id, emoji)
			return
		}
		fmt.Fprintf(member, "{\"type\":\"message\",\"room\":%q,\"seq\":%d,\"id\":%q,\"content\":%q}\n{\"type\":\"presence\",\"room\":%q,\"members\":3}\n", room, seq, id, content, room)
	}
	switch fault {
	case "lose":
	case "repeat":
		message(f.seq)
		message(f.seq)
	case "balance": // message 4 again instead of 5: the count is right
		message(f.seq - 1)
	case "damage":
		content, emoji = strings.ReplaceAll(content, "~", "?"), "?"
		message(f.seq)
	case "error":
		fmt.Fprintf(member, "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"a fault\"}\n")
	case "hang up":
		member.Close()
	default:
		message(f.seq)
	}
}

// TestBenchFindsFaults runs the command against servers that are wrong.
func TestBenchFindsFaults(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the load generator needs Linux")
	}
	for _, test := range []struct {
		fault string
		code  int
		want  string
	}{
		{"", exitDone, "nothing lost, nothing repeated"},
		{"lose", exitFailed, "1 deliveries lost, 0 repeated"},
		{"repeat", exitFailed, "0 deliveries lost, 1 repeated"},
		{"balance", exitFailed, "1 deliveries lost, 1 repeated"},
		{"damage", exitFailed, "1 foreign"},
		{"error", exitFailed, "the server answers"},
		{"hang up", exitFailed, "the server ended connection"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			testBench(t, "send", test.fault, test.code, test.want)
		})
		t.Run(test.fault+" reactions", func(t *testing.T) {
			t.Parallel()
			testBench(t, "react", test.fault, test.code, test.want, "--react")
		})
	}
}

func testBench(t *testing.T, kind, fault string, wantCode int, want string, flags ...string) {
	const at = 5
	var fake *fakeServer
	var stdout, stderr bytes.Buffer
	code, counted := 0, 0
	for duration := 100 * time.Millisecond; counted <= at && duration < time.Minute; duration *= 5 { // on a busy machine nothing may come of a short one
		var address string
		fake, address = startFake(t, kind, fault, at)
		stdout.Reset()
		stderr.Reset()
		code = run(append([]string{
			"bench", "fanout", "--server", address, "--members", "3", "--senders", "1", "--in-flight", "4", "--warm-up", "20ms", "--duration", duration.String(),
		}, flags...), streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
		if code != exitDone {
			break
		}
		fake.mu.Lock()
		counted = fake.count
		fake.mu.Unlock()
	}
	if output := stdout.String() + stderr.String(); code != wantCode || !strings.Contains(output, want) {
		t.Errorf("exit code %d, want %d and %q:\n%s", code, wantCode, want, output)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	if fake.pongs == 0 {
		t.Error("pings were not answered")
	}
}
