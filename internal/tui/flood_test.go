package tui

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kaban/client"
	"kaban/wire"
)

// A Model that stands still has a bounded amount wait for it, whatever comes;
// how many members a room has is right when it goes on.
func TestWhatWaitsForTheModelIsBounded(t *testing.T) {
	s := newSession(Options{})
	defer s.Close()
	names := make([]string, 1000)
	for k := range names {
		names[k] = strings.Repeat("x", 30)
	}
	for n := range 5 * maxEvents {
		s.putPresence(presenceEvent{Room: "lobby", Members: n + 1, Joined: names})
		s.putState(stateEvent{link: offline})
	}
	s.mu.Lock()
	if s.bytes > 2*maxEventBytes || len(s.events) > maxEvents+2 {
		t.Errorf("%d events of %d bytes wait", len(s.events), s.bytes)
	}
	s.mu.Unlock()
	got := s.take()
	if last, ok := got[len(got)-1].(presenceEvent); !ok || last.Members != 5*maxEvents {
		t.Errorf("the last that is known is %+v", got[len(got)-1])
	}
	content := strings.Repeat("x", 60<<10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			s.putWhenThereIsSpace(messageEvent{message: wire.Message{Content: content}})
		}
	}()
	for taken := 0; taken < 200; {
		s.mu.Lock()
		if s.bytes > maxEventBytes+len(content) {
			t.Errorf("%d bytes wait", s.bytes)
		}
		s.mu.Unlock()
		taken += len(s.take())
	}
	<-done
}

// A room's window is bounded in bytes too.
func TestLongMessagesAreBounded(t *testing.T) {
	r := newRoom("lobby")
	content := strings.Repeat("x", 60<<10)
	for seq := range uint64(1000) {
		r.add(&item{seq: seq + 1, content: content})
	}
	if n := len(r.items); n*len(content) > maxItemBytes || n < maxItemBytes/len(content)/2 {
		t.Errorf("%d messages of %d bytes are held", n, len(content))
	}
	if r.last() != 1000 {
		t.Errorf("the newest is %d", r.last())
	}
}

func TestUnsentMessagesAreBounded(t *testing.T) {
	w := newWitness(t)
	w.join("lobby")
	for n := range maxUnsent + 1 {
		w.post("lobby", uint64(n), 0, "x")
	}
	if e := await(w, always[sentEvent]); !errors.Is(e.err, errTooMuch) || e.number != maxUnsent {
		t.Errorf("got %+v", e)
	}
}

// A first attempt that was given up may have the name for a moment: that is no
// reason to ask for another one.
func TestANameThatOurOwnAttemptHas(t *testing.T) {
	t.Parallel() // it waits for as long as an attempt may take
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					var asked struct{ Type string }
					json.Unmarshal(lines.Bytes(), &asked)
					switch {
					case asked.Type != "hello", n == 0: // the first is not answered in time
					case n == 1:
						fmt.Fprintln(conn, `{"type":"error","code":"username_taken","message":"somebody is connected under this name"}`)
						return
					default:
						fmt.Fprintln(conn, `{"type":"welcome","version":1,"session":"s","username":"ann","heartbeat":30}`)
					}
				}
			}()
		}
	}()
	w := newWitness(t)
	w.connect(l.Addr().String(), []string{"ann"})
	e := await(w, func(e stateEvent) bool { return e.link == ended || e.username != "" })
	if e.username != "ann" {
		t.Errorf("got %+v", e)
	}
}

// The status says that the server does not answer, and what waits in all rooms.
func TestTheStatusOfASilentServer(t *testing.T) {
	s := newSession(Options{})
	defer s.Close()
	s.onState(client.State{Status: client.Silent})
	if e, ok := s.take()[0].(stateEvent); !ok || e.link != silent {
		t.Errorf("got %+v", e)
	}
	m := newModel(s, Options{Config: Config{Server: "localhost:1", Username: "ann"}})
	m.rooms = []*room{newRoom("a"), newRoom("b")}
	for _, r := range m.rooms {
		r.post(&item{content: "x"})
	}
	m.takeState(stateEvent{link: silent})
	text := ""
	for _, piece := range m.connectionStatus(func(s string, a attributes) span { return span{text: s} }) {
		text += piece.text
	}
	if !strings.Contains(text, "does not answer") || !strings.Contains(text, "2 to be sent") {
		t.Errorf("got %q", text)
	}
	m.takeState(stateEvent{link: offline, retryAt: time.Now(), err: &client.Error{Code: wire.CodeUsernameTaken}})
	if m.status.link != offline {
		t.Errorf("a name that is taken after a break ends it")
	}
}
