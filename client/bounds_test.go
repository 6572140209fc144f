package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/wire"
)

// asking has the fields of a request that a fake server needs.
type asking struct{ Type, Ref, Room, ID, Content, Resume string }

const welcome = `{"type":"welcome","version":1,"session":"s","username":"ann","server":"fake","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30}`

// usual returns the usual answer to a request other than history and lists.
func usual(a asking) string {
	switch a.Type {
	case "hello":
		return welcome
	case "join":
		return fmt.Sprintf(`{"type":"joined","room":%q,"epoch":"e","head":0,"members":1,"ref":%q}`, a.Room, a.Ref)
	case "ping":
		return fmt.Sprintf(`{"type":"pong","ref":%q}`, a.Ref)
	}
	return ""
}

// serveFake answers requests until answer stops or the client hangs up.
func serveFake(conn net.Conn, answer func(asking) (line string, stop bool)) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var a asking
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			return
		}
		line, stop := answer(a)
		if line != "" {
			fmt.Fprintln(conn, line)
		}
		if stop {
			return
		}
	}
}

// piped returns options for connections that serve serves; the first has number 1.
func piped(serve func(number int, conn net.Conn)) Options {
	number := 0
	return Options{Username: "ann", Dial: func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		number++
		go serve(number, theirs)
		return ours, nil
	}}
}

// dialed returns a client with options, which ends with the test.
func dialed(t *testing.T, options Options) *Client {
	t.Helper()
	c, err := Dial(t.Context(), "", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A server can send anything, any number of times, and read nothing: the memory of the
// client does not grow.
func TestNoFloodFillsTheClient(t *testing.T) {
	big := strings.Repeat("x", 60<<10)
	names := `["` + strings.Repeat(`","`, 20_000) + `"]`
	for name, frame := range map[string]string{
		"pings":            `{"type":"ping"}`,
		"pings with a ref": `{"type":"ping","ref":"` + big + `"}`,
		"pongs":            `{"type":"pong","ref":"1"}`,
		"presence":         `{"type":"presence","room":"lobby","members":9,"joined":` + names + `}`,
		"typing":           `{"type":"typing","room":"lobby","usernames":` + names + `}`,
		"errors":           `{"type":"error","code":"internal","message":"` + big + `"}`,
		"resyncs":          `{"type":"error","code":"resync","message":"x","room":"lobby","epoch":"` + big + `","head":9,"oldest":1}`,
		"unknown":          `{"type":"sculpture","stone":"` + big + `"}`,
		"welcomes":         welcome,
		"joined":           `{"type":"joined","room":"other","epoch":"` + big + `","head":0,"members":1,"ref":"7"}`,
		"authors":          `{"type":"message","room":"lobby","seq":SEQ,"id":"i","username":"` + big + `","content":"x","time":"2026-11-24T02:35:37.101Z"}`,
		"ids":              `{"type":"message","room":"lobby","seq":SEQ,"id":"` + big + `","username":"ben","content":"x","time":"2026-11-24T02:35:37.101Z"}`,
		"contents":         `{"type":"message","room":"lobby","seq":SEQ,"id":"i","username":"ben","content":"` + big + `","time":"2026-11-24T02:35:37.101Z"}`,
		"acks":             `{"type":"ack","room":"lobby","id":"i","seq":9,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":"2"}`,
		"history":          `{"type":"history","room":"lobby","messages":[],"more":true}`,
		"members":          `{"type":"members","room":"lobby","usernames":` + names + `,"more":true}`,
		"parted":           `{"type":"parted","room":"lobby"}`,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conns := make(chan net.Conn, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conn.(*net.TCPConn).SetReadBuffer(4 << 10)
				lines := bufio.NewScanner(conn)
				for answered := 0; answered < 2 && lines.Scan(); answered++ {
					var a asking
					json.Unmarshal(lines.Bytes(), &a)
					fmt.Fprintln(conn, usual(a))
				}
				conns <- conn
			}()
			var once sync.Once
			ended := make(chan struct{})
			end := func() { once.Do(func() { close(ended) }) }
			c := dialed(t, Options{
				Username: "ann",
				Dial: func(ctx context.Context) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
					if err == nil {
						err = conn.(*net.TCPConn).SetWriteBuffer(4 << 10) // or the kernel takes the pongs
					}
					return conn, err
				},
				OnPresence: func(p Presence) {
					if p.Members == 77 { // the end
						end()
					}
				},
				OnState: func(s State) {
					if s.Status == Offline { // it could write nothing for long
						end()
					}
				},
			})
			if _, err := c.Join(t.Context(), "lobby", From{}); err != nil {
				t.Fatal(err)
			}
			conn := <-conns
			defer conn.Close()
			before := heap()
			const total = 12 << 20 // so many bytes, or 80,000 frames
			flood := bufio.NewWriterSize(conn, 64<<10)
			for n := range min(total/len(frame), 80_000) {
				flood.WriteString(strings.Replace(frame, "SEQ", fmt.Sprint(n+1), 1))
				flood.WriteByte('\n')
			}
			fmt.Fprintln(flood, `{"type":"presence","room":"lobby","members":77}`)
			conn.SetWriteDeadline(time.Now().Add(time.Minute))
			flood.Flush()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("the client does not reach the end of the flood")
			}
			if grown := heap() - before; grown > 6<<20 {
				t.Errorf("the client has grown by %d KiB", grown>>10)
			}
		})
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// Whatever a server does, the client does not connect or send requests many times a
// second.
func TestNothingMakesAClientHurry(t *testing.T) {
	refuse := func(code, more string) string {
		return fmt.Sprintf(`{"type":"error","code":%q,"message":"no"%s}`, code, more)
	}
	for name, answer := range map[string]func(asking) (string, bool){
		"welcome, and closed": func(a asking) (string, bool) { return usual(a), true },
		"joined, and closed":  func(a asking) (string, bool) { return usual(a), a.Type == "join" },
		"goodbye with 0 ms": func(a asking) (string, bool) {
			return welcome + "\n" + `{"type":"goodbye","reason":"draining","reconnect_after_ms":0}`, true
		},
		"goodbye with 1 ms": func(a asking) (string, bool) {
			return welcome + "\n" + `{"type":"goodbye","reason":"idle","reconnect_after_ms":1}`, true
		},
		"closed at once":   func(a asking) (string, bool) { return "", true },
		"hello_required":   func(a asking) (string, bool) { return refuse("hello_required", ""), true },
		"username_taken":   func(a asking) (string, bool) { return refuse("username_taken", ""), true },
		"server_full, 1ms": func(a asking) (string, bool) { return refuse("server_full", `,"retry_after_ms":1`), true },
		"silent":           func(a asking) (string, bool) { return "", false },
		"no JSON":          func(a asking) (string, bool) { return "SSH-2.0", true },
		"a room that is full": func(a asking) (string, bool) {
			if a.Type == "join" {
				return refuse("internal", fmt.Sprintf(`,"ref":%q`, a.Ref)), false
			}
			return usual(a), false
		},
		"resync for each join": func(a asking) (string, bool) {
			if a.Type == "join" {
				return refuse("resync", fmt.Sprintf(`,"room":%q,"epoch":"e","head":9,"oldest":1,"ref":%q`, a.Room, a.Ref)), false
			}
			return usual(a), false
		},
		"full disk": func(a asking) (string, bool) {
			if a.Type == "send" {
				return refuse("storage_full", fmt.Sprintf(`,"ref":%q`, a.Ref)), false
			}
			return usual(a), false
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hostile atomic.Bool
				var requests atomic.Int64
				c := dialed(t, piped(func(_ int, conn net.Conn) {
					mine := hostile.Load()
					serveFake(conn, func(a asking) (string, bool) {
						if !mine { // the first connection
							return usual(a), false
						}
						if a.Type != "ping" {
							requests.Add(1)
						}
						return answer(a)
					})
				}))
				r, err := c.Join(t.Context(), "lobby", From{})
				if err != nil {
					t.Fatal(err)
				}
				hostile.Store(true)
				if _, err := r.Post(t.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				c.Reconnect()
				const minutes = 20
				time.Sleep(minutes * time.Minute)
				synctest.Wait()
				if err := c.Err(); err != nil {
					t.Errorf("the client gave up: %v", err)
				}
				if n, most := requests.Load(), int64(minutes*60); n > most || n == 0 {
					t.Errorf("the client asked %d times in %d minutes, want at most %d", n, minutes, most)
				}
			})
		})
	}
}

// A message that the server cannot store for now is sent again over the same connection, under its id: the
// server goes on, as one whose database is away.
func TestUnavailableForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries, connections atomic.Int64
		ids := make(chan string, 10)
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			connections.Add(1)
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type != "send" {
					return usual(a), false
				}
				ids <- a.ID
				if tries.Add(1) < 3 {
					return fmt.Sprintf(`{"type":"error","code":"unavailable","message":"no","room":"lobby","id":%q,"ref":%q}`, a.ID, a.Ref), false
				}
				return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":1,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, a.Ref), false
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		receipt, err := r.Send(ctx, "x")
		if err != nil || receipt.Seq != 1 || tries.Load() != 3 || connections.Load() != 1 {
			t.Fatalf("%+v, %v after %d tries over %d connections, want 3 over 1", receipt, err, tries.Load(), connections.Load())
		}
		if first, second, third := <-ids, <-ids, <-ids; first != second || first != third {
			t.Errorf("it was sent under the ids %s, %s and %s", first, second, third)
		}
	})
}

// A message that was put off keeps its place before one that was sent later and lost its answer with the
// connection.
func TestOrderAfterUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan string, 10)
		c := dialed(t, piped(func(n int, conn net.Conn) {
			var first asking
			serveFake(conn, func(a asking) (string, bool) {
				switch {
				case a.Type != "send":
					return usual(a), false
				case n > 1:
					sent <- a.Content
					return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":%d,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, len(sent), a.Ref), false
				case first.ID == "":
					first = a
					return "", false
				}
				// Then the connection ends, without an answer to the second.
				return fmt.Sprintf(`{"type":"error","code":"unavailable","message":"no","room":"lobby","id":%q,"ref":%q}`, first.ID, first.Ref), true
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var sending sync.WaitGroup
		for _, content := range []string{"first", "second"} {
			sending.Go(func() {
				if _, err := r.Send(ctx, content); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		sending.Wait()
		if first, second := <-sent, <-sent; first != "first" || second != "second" {
			t.Errorf("sent again are %q and %q", first, second)
		}
	})
}

// Messages that are refused one after the other, behind the first that the server could not store, are sent again
// in their order once all have their answers, and before any that has not been sent yet.
func TestOrderOfWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, answers := make(chan asking, 100), make(chan string, 100)
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			go func() {
				for line := range answers {
					fmt.Fprintln(conn, line)
				}
			}()
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type == "send" {
					sent <- a
				} else if line := usual(a); line != "" {
					answers <- line
				}
				return "", false
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		post := func(contents ...string) {
			for _, content := range contents {
				if _, err := r.Post(t.Context(), content); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		take := func() (all []asking) {
			for len(sent) > 0 {
				all = append(all, <-sent)
			}
			return all
		}
		refuse := func(a asking) {
			answers <- fmt.Sprintf(`{"type":"error","code":"unavailable","message":"no","room":"lobby","id":%q,"ref":%q}`, a.ID, a.Ref)
			synctest.Wait()
		}
		assert := func(all []asking, want ...string) {
			t.Helper()
			var got []string
			for _, a := range all {
				got = append(got, a.Content)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("sent are %q, want %q", got, want)
			}
		}
		for round := range 20 { // the waits are random
			post("1", "2", "3")
			first := take()
			assert(first, "1", "2", "3")
			refuse(first[0])
			post("4")
			time.Sleep(time.Minute)
			assert(take())
			refuse(first[2])
			refuse(first[1])
			time.Sleep(time.Minute)
			again := take()
			assert(again, "1", "2", "3", "4")
			for i, a := range again {
				if i < 3 && a.ID != first[i].ID {
					t.Fatalf("%s has a new id", a.Content)
				}
				answers <- fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":%d,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, 4*round+i+1, a.Ref)
			}
			synctest.Wait()
		}
		close(answers)
	})
}

// What the server has put off keeps its order, also while a part waits to be written before it.
func TestOrderBehindAPart(t *testing.T) {
	c := dialed(t, piped(func(_ int, conn net.Conn) {
		serveFake(conn, func(a asking) (string, bool) { return usual(a), false })
	}))
	c.mu.Lock()
	defer c.mu.Unlock()
	var entries []*call
	for range 3 {
		entries = append(entries, c.callLocked(wire.Request{Type: wire.TypeTopic}, nil))
	}
	c.postponeLocked(entries[0], 0)
	c.queue = slices.Insert(c.queue, 0, c.callLocked(wire.Request{Type: wire.TypePart}, nil))
	c.postponeLocked(entries[2], 0)
	c.postponeLocked(entries[1], 0)
	if got := slices.DeleteFunc(slices.Clone(c.queue), func(q *call) bool { return !q.isEntry() }); !slices.Equal(got, entries) {
		t.Errorf("the queue has no. %d, %d and %d", got[0].number, got[1].number, got[2].number)
	}
	c.queue = nil
}

// The server refuses what comes behind a message that it could not store, until it has that again. So the client
// sends it again also if it has turned out meanwhile that it is stored.
func TestWhatIsRefusedAndStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan string, 10)
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type != "send" {
					return usual(a), false
				}
				sent <- a.Content
				switch len(sent) {
				case 1:
					return fmt.Sprintf(`{"type":"error","code":"unavailable","message":"no","room":"lobby","id":%q,"ref":%q}`, a.ID, a.Ref) + "\n" +
						fmt.Sprintf(`{"type":"message","room":"lobby","id":%q,"username":"ann","content":"1","seq":1,"time":"2026-11-24T02:35:37.101Z"}`, a.ID), false
				case 2:
					return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":1,"time":"2026-11-24T02:35:37.101Z","duplicate":true,"ref":%q}`, a.ID, a.Ref), false
				}
				return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":2,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, a.Ref), false
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for i, content := range []string{"1", "2"} {
			if receipt, err := r.Send(ctx, content); err != nil || receipt.Seq != uint64(i+1) {
				t.Errorf("%s: %+v, %v", content, receipt, err)
			}
		}
		close(sent)
		var got []string
		for content := range sent {
			got = append(got, content)
		}
		if want := []string{"1", "1", "2"}; !slices.Equal(got, want) {
			t.Errorf("sent are %q, want %q", got, want)
		}
	})
}

// states collects the states of a client.
type states struct {
	c     chan State
	begin time.Time
}

func newStates() *states { return &states{c: make(chan State, 100), begin: time.Now()} }

func (s *states) tell(state State) { s.c <- state }

// next waits for the next state.
func (s *states) next() (State, time.Duration) {
	state := <-s.c
	return state, time.Since(s.begin)
}

// A client reports that the server is silent, how many messages wait, and that the
// server is back.
func TestTheServerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frozen := make(chan struct{})
		thawed := make(chan struct{})
		s := newStates()
		options := piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				select {
				case <-frozen:
					<-thawed
				default:
				}
				return usual(a), false
			})
		})
		options.OnState = s.tell
		c := dialed(t, options)
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		if state, _ := s.next(); state.Status != Online {
			t.Fatalf("got %+v, want online", state)
		}
		time.Sleep(time.Hour) // a quiet one is no silence
		if len(s.c) > 0 {
			t.Fatalf("got %+v in a quiet hour", <-s.c)
		}
		s.begin = time.Now()
		close(frozen)
		if _, err := r.Post(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		state, after := s.next()
		if state.Status != Silent || state.Unacknowledged != 1 || after > 20*time.Second {
			t.Errorf("got %+v after %v, want silent with one unacknowledged message", state, after)
		}
		close(thawed)
		if state, _ = s.next(); state.Status != Online {
			t.Errorf("got %+v, want online", state)
		}
	})
}

// A server that never answers again is abandoned in bounded time.
func TestTheServerIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStates()
		off := make(chan struct{})
		defer close(off)
		options := piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type != "hello" {
					<-off // as a machine without power
				}
				return usual(a), false
			})
		})
		options.OnState = s.tell
		options.Silence, options.Patience = time.Second, 2*time.Second
		options.Dial = dialOnce(options.Dial)
		c, err := Dial(t.Context(), "", options)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []Status{Online, Silent, Offline} {
			state, after := s.next()
			if state.Status != want || after > 6*time.Second {
				t.Errorf("got %+v after %v, want status %d", state, after, want)
			}
		}
		c.Close()
	})
}

// dialOnce dials once; after that every attempt fails.
func dialOnce(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	dialed := false
	return func(ctx context.Context) (net.Conn, error) {
		if dialed {
			return nil, errors.New("no way")
		}
		dialed = true
		return dial(ctx)
	}
}

// A line on which a frame takes minutes is alive as long as bytes arrive.
func TestASlowLineIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStates()
		options := piped(func(_ int, conn net.Conn) {
			defer conn.Close()
			lines := bufio.NewScanner(conn)
			lines.Scan()
			fmt.Fprintln(conn, welcome)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for lines.Scan() { // pings that have their answer behind the frame
				}
			}()
			frame := `{"type":"error","code":"internal","message":"` + strings.Repeat("x", 300) + `"}` + "\n"
			for k := range len(frame) {
				time.Sleep(4 * time.Second)
				if _, err := conn.Write([]byte(frame[k : k+1])); err != nil {
					return
				}
			}
			s.c <- State{}
			<-ended
		})
		options.Silence, options.Patience, options.OnState = 3*time.Second, 5*time.Second, s.tell
		dialed(t, options)
		for _, want := range []State{{Status: Online}, {}} {
			if got, after := s.next(); got != want {
				t.Fatalf("got %+v after %v, want %+v", got, after, want)
			}
		}
	})
}

// A client that abandoned attempts reconnects when one of them replaces it, once for
// each; it leaves the session to any other connection.
func TestReplacedByOneself(t *testing.T) {
	for strays := range 4 {
		wantReplaced(t, strays, 0, int64(strays+1))
	}
}

// An abandoned attempt may take effect late: its server was frozen, or waited for its database. Much later somebody else
// has the session.
func TestReplacedByOneselfLate(t *testing.T) {
	wantReplaced(t, 1, useful+time.Second, 2)
	wantReplaced(t, 1, strayLife-time.Minute, 2)
	wantReplaced(t, 1, strayLife+time.Minute, 1)
}

// wantReplaced has a client abandon attempts, and replaces each of its connections after a time.
func wantReplaced(t *testing.T, strays int, after time.Duration, times int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var greeted atomic.Int64
		c := dialed(t, piped(func(number int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				switch {
				case number == 1:
					return usual(a), a.Type == "join" // breaks
				case number <= 1+strays:
					return "", false // frozen
				case a.Type == "hello":
					greeted.Add(1)
					time.AfterFunc(after, func() { fmt.Fprintln(conn, `{"type":"goodbye","reason":"replaced"}`) })
				}
				return usual(a), false
			})
		}))
		if _, err := c.Join(t.Context(), "lobby", From{}); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if bye, ok := errors.AsType[*Goodbye](c.Err()); !ok || bye.Reason != wire.ReasonReplaced {
			t.Errorf("%d strays, replaced after %v: it ended with %v, want replaced", strays, after, c.Err())
		}
		if got := greeted.Load(); got != times {
			t.Errorf("%d strays, replaced after %v: it was replaced %d times, want %d", strays, after, got, times)
		}
	})
}

// hello_required means that one side was stopped for too long; Dial tries again.
func TestAMissedHello(t *testing.T) {
	for missed, ok := range map[int]bool{1: true, 2: true, dialTries: false} {
		synctest.Test(t, func(t *testing.T) {
			c, err := Dial(t.Context(), "", piped(func(number int, conn net.Conn) {
				serveFake(conn, func(a asking) (string, bool) {
					if number <= missed {
						return `{"type":"error","code":"hello_required","message":"no hello came within 10s"}` + "\n" + `{"type":"goodbye","reason":"idle"}`, true
					}
					return usual(a), false
				})
			}))
			if (err == nil) != ok {
				t.Errorf("missed %d times: got %v", missed, err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}

// A request without an answer is forgotten when its caller gives up, and the number of
// waiting requests is bounded.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type == "history" || a.Type == "join" {
					return "", false
				}
				return usual(a), false
			})
		}))
		for range 3 * maxAsked {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := c.History(ctx, "lobby", HistoryQuery{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			cancel()
		}
		c.mu.Lock()
		if n := len(c.calls) + len(c.queue) + len(c.flight); n > 2*maxAnswered+2 {
			t.Errorf("%d calls are held", n)
		}
		c.mu.Unlock()
		var last error
		for k := range maxAsked + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, last = c.Join(ctx, fmt.Sprint("room-", k), From{})
			cancel()
		}
		if !errors.Is(last, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", last)
		}
	})
}

// One message that is never acknowledged does not keep later ones in memory.
func TestAnAckThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, seq := "", 0
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type != "send" {
					return usual(a), false
				}
				if first == "" {
					first = a.ID
					return "", false
				}
				seq++
				return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":%d,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, seq, a.Ref), false
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 5000 {
			if _, err := r.Post(t.Context(), fmt.Sprint(k)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.posted != 1 || len(c.flight) > maxAnswered+2 || len(c.calls) > 2 || len(c.entries) > 1 {
			t.Errorf("%d messages are under way, %d calls are held in flight, %d by ref, %d by id", c.posted, len(c.flight), len(c.calls), len(c.entries))
		}
	})
}

// A room whose join was abandoned is left when the answer arrives.
func TestAJoinThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parted := make(chan string, 1)
		c := dialed(t, piped(func(_ int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				switch a.Type {
				case "join":
					time.Sleep(time.Second)
				case "part":
					parted <- a.Room
					return fmt.Sprintf(`{"type":"parted","room":%q,"ref":%q}`, a.Room, a.Ref), false
				}
				return usual(a), false
			})
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Join(ctx, "lobby", From{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if got := <-parted; got != "lobby" {
			t.Errorf("%q was left", got)
		}
		if _, err := c.Join(t.Context(), "lobby", From{}); err != nil {
			t.Errorf("it cannot be joined any more: %v", err)
		}
	})
}

// A history page that makes no progress is an error, so that no caller reads for ever.
func TestPagesLeadOn(t *testing.T) {
	entries := func(seqs ...uint64) (all []wire.Entry) {
		for _, seq := range seqs {
			all = append(all, wire.Entry{Seq: seq})
		}
		return all
	}
	for name, c := range map[string]struct {
		query       HistoryQuery
		entries     []wire.Entry
		first, last uint64 // 0: of a server that does not say them
		ok          bool
	}{
		"good":                {HistoryQuery{After: 4, HasAfter: true}, entries(5, 9), 0, 0, true},
		"empty":               {HistoryQuery{After: 4, HasAfter: true}, nil, 0, 0, true},
		"newest":              {HistoryQuery{Limit: 2}, entries(1, 2), 0, 0, true},
		"more is covered":     {HistoryQuery{After: 4, HasAfter: true}, entries(6, 8), 5, 9, true},
		"nothing to show":     {HistoryQuery{After: 4, HasAfter: true}, nil, 5, 9, true},
		"the same again":      {HistoryQuery{After: 4, HasAfter: true}, entries(4), 0, 0, false},
		"covers the same":     {HistoryQuery{After: 4, HasAfter: true}, entries(5), 4, 5, false},
		"covers nothing":      {HistoryQuery{After: 4, HasAfter: true}, nil, 6, 5, false},
		"before what it says": {HistoryQuery{After: 4, HasAfter: true}, entries(5), 6, 7, false},
		"after what it says":  {HistoryQuery{After: 4, HasAfter: true}, entries(8), 6, 7, false},
		"backwards":           {HistoryQuery{After: 4, HasAfter: true}, entries(6, 5), 0, 0, false},
		"not before":          {HistoryQuery{Before: 4, HasBefore: true}, entries(3, 4), 0, 0, false},
		"more than wanted":    {HistoryQuery{Limit: 1}, entries(1, 2), 0, 0, false},
		"more than a page":    {HistoryQuery{}, make([]wire.Entry, wire.MaxLimit+1), 0, 0, false},
	} {
		page := pageOf(&wire.Event{Entries: c.entries, First: c.first, Last: c.last})
		if page.answers(c.query) != c.ok {
			t.Errorf("%s: got %v, want %v", name, !c.ok, c.ok)
		}
	}
}

// A machine that has slept shows it in its clocks: the server is asked once, and the
// connection is abandoned without that one answer.
func TestAfterASleep(t *testing.T) {
	for slept, want := range map[time.Duration]doubts{0: told, time.Hour: asleep} {
		c := &Client{options: Options{}.withDefaults()}
		l := newLink(c, nil)
		l.welcomed(wire.Event{Heartbeat: 30 * time.Second})
		l.heard = l.heard.Add(-slept)
		var err error
		steps := 0
		for ; err == nil; steps++ {
			err = l.doubt()
		}
		if l.doubts != want || slept > 0 && steps != 2 || slept == 0 && steps != 3 {
			t.Errorf("slept %v: abandoned after %d steps, with doubts %d", slept, steps, l.doubts)
		}
	}
}

// Ids are unique for an author only: a message of another person with the id of an
// own one is theirs, and no proof that the own one is stored.
func TestAForeignMessageWithAnOwnID(t *testing.T) {
	c := dialed(t, piped(func(_ int, conn net.Conn) {
		serveFake(conn, func(a asking) (string, bool) {
			if a.Type == "send" {
				return fmt.Sprintf(`{"type":"message","room":"lobby","seq":1,"id":%q,"username":"mallory","content":"theirs","time":"2026-11-24T02:35:37.101Z"}`, a.ID), false
			}
			return usual(a), false
		})
	}))
	r, err := c.Join(t.Context(), "lobby", From{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Post(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	content := ""
	for m, err := range r.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		content = m.Content
		break
	}
	select {
	case <-p.Done():
		t.Error("the own message counts as stored")
	default:
	}
	if content != "theirs" {
		t.Errorf("read %q, want the foreign message", content)
	}
}
