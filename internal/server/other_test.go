package server_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	peers "kaban/internal/peer"
)

// dialOther connects over something that is not plain TCP, which another poller
// serves.
func (f *fixture) dialOther(path string) *peer {
	f.t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	p := &peer{t: f.t, conn: conn, decoder: json.NewDecoder(conn)}
	p.decoder.UseNumber()
	return p
}

func (f *fixture) joinOther(path, name string) *peer {
	f.t.Helper()
	p := f.dialOther(path)
	p.say(`{"type":"hello","version":1,"username":%q}`, name)
	p.expect("welcome")
	p.say(`{"type":"join","room":"lobby"}`)
	p.expect("joined")
	return p
}

// alsoAt has a server listen at a Unix socket too.
func (f *fixture) alsoAt(path string) {
	f.t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		f.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.server.Serve(l, peers.Loopback()) }()
	f.t.Cleanup(func() {
		f.manager.Close()
		<-done
	})
}

// Connections of different pollers are in the same rooms, and all of them keep
// the rules.
func TestConnectionsThatAreNotTCP(t *testing.T) {
	f := start(t, conn.Config{StallTimeout: time.Second}, nil, dispatch.Options{})
	path := filepath.Join(t.TempDir(), "socket")
	f.alsoAt(path)
	ann, bob := f.join("ann"), f.joinOther(path, "bob")
	for i := range 50 {
		converse(ann, bob, fmt.Sprint("a-", i))
		converse(bob, ann, fmt.Sprint("b-", i))
	}
	bob.send("GET / HTTP/1.1\r\n")
	bob.expect("error", "code", "bad_json")
	bob.alive()

	// A long line, and a page as long.
	long := strings.Repeat("é", 5000)
	bob.say(`{"type":"send","room":"lobby","id":"long","content":%q}`, long)
	bob.expect("ack", "seq", 101)
	ann.expect("message", "seq", 101, "content", long)

	// One that reads nothing is cut, and the others go on.
	deaf := f.joinOther(path, "deaf")
	const n = 400
	go func() {
		for i := range n {
			fmt.Fprintf(bob.conn, `{"type":"send","room":"lobby","id":"flood-%d","content":"%s"}`+"\n", i, strings.Repeat("x", 4000))
		}
	}()
	for i := range n {
		bob.expect("ack", "id", fmt.Sprint("flood-", i))
		ann.expect("message", "id", fmt.Sprint("flood-", i))
	}
	for deadline := time.Now().Add(patience); ; {
		ann.say(`{"type":"members","room":"lobby"}`)
		if got := ann.expect("members"); len(got["usernames"].([]any)) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a client that reads nothing is still connected")
		}
	}
	// What it was given before is whole and in order, and it reads on from there.
	last := 101
	for {
		got, err := deaf.next()
		if err != nil || got["type"] == "goodbye" {
			break
		}
		if last++; fmt.Sprint(got["seq"]) != fmt.Sprint(last) {
			t.Fatalf("got %s, want seq %d", got, last)
		}
	}
	if last == 101+n {
		t.Fatal("it got everything: it was not deaf")
	}
	for try, end := 0, time.Now().Add(patience); last < 101+n; try++ { // on a busy machine it is cut again
		if time.Now().After(end) {
			t.Fatalf("it has come to %d of %d after %d attempts", last, 101+n, try)
		}
		back := f.dialOther(path)
		back.say(`{"type":"hello","version":1,"username":"deaf-%d"}`, try)
		back.expect("welcome")
		back.say(`{"type":"join","room":"lobby","after":%d}`, last)
		back.expect("joined", "head", 101+n)
		for last < 101+n {
			got, err := back.next()
			if err != nil || got["reason"] == "slow_consumer" {
				break
			}
			if last++; got["type"] != "message" || fmt.Sprint(got["seq"]) != fmt.Sprint(last) {
				t.Fatalf("got %v, want message %d", got, last)
			}
		}
		back.conn.Close()
	}

	// A peer that has ended its output still gets what it is owed; a drain says goodbye to all.
	half := f.joinOther(path, "half")
	half.say(`{"type":"send","room":"lobby","id":"last","content":"x"}`)
	half.conn.(*net.UnixConn).CloseWrite()
	half.expect("ack", "id", "last")
	half.expectEOF()
	go f.shutdown(t.Context())
	bob.expect("message", "id", "last")
	bob.expectEnd("draining")
}
