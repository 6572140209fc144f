package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/store/memory"
)

// host runs a server for a test and returns its address.
func host(t testing.TB) string {
	t.Helper()
	addr, _ := town(t)
	return addr
}

// town is a host with accounts, which are nobody's yet.
func town(t testing.TB) (addr string, accounts *account.Service) {
	t.Helper()
	kept := memory.New(0)
	d, err := dispatch.New(context.Background(), kept, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(context.Background(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := conn.New(conn.Config{Submit: rooms.Submit, Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	accounts = account.New(kept, account.Options{Hashes: 1, OnRevoked: rooms.Revoke, OnChanged: rooms.AccountChanged, OnSettings: rooms.SettingChanged})
	serving.Go(func() { server.New(server.Config{Accounts: accounts}, rooms, m).Serve(l, peer.Loopback()) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		m.Shutdown(ctx)
		serving.Wait()
		d.Close()
	})
	return l.Addr().String(), accounts
}

// watched is the terminal's end of the output: it notes when a text appears.
type watched struct {
	mu    sync.Mutex
	wants []byte
	seen  chan time.Time
	bytes int
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += len(p)
	if len(w.wants) > 0 && bytes.Contains(p, w.wants) {
		w.wants = nil
		w.seen <- time.Now()
	}
	return len(p), nil
}

func (w *watched) want(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wants = []byte(text)
}

// BenchmarkKeyToScreen measures from the press of a key until what it typed is
// written to the terminal, while others say 1,000 messages a second in the room
// that is open: a real server, a real session, all of the client.
func BenchmarkKeyToScreen(b *testing.B) {
	const rate = 1000
	addr := host(b)
	talker, err := client.Dial(b.Context(), addr, client.Options{Username: "talker"})
	if err != nil {
		b.Fatal(err)
	}
	defer talker.Close()
	room, err := talker.Join(b.Context(), "lobby", client.From{})
	if err != nil {
		b.Fatal(err)
	}

	input, keyboard := io.Pipe()
	screen := &watched{seen: make(chan time.Time, 1)}
	session := newSession(Options{})
	defer session.Close()
	model := newModel(session, Options{Config: Config{Server: addr, Username: "ann"}})
	p := tea.NewProgram(program{Model: model, session: session}, tea.WithInput(input), tea.WithOutput(screen), tea.WithWindowSize(120, 40), tea.WithoutSignals())
	var running sync.WaitGroup
	running.Go(func() {
		if _, err := p.Run(); err != nil {
			b.Error(err)
		}
	})
	await := func(text string, do func()) time.Duration {
		screen.want(text)
		begin := time.Now()
		do()
		select {
		case at := <-screen.seen:
			return at.Sub(begin)
		case <-time.After(time.Minute):
			b.Fatalf("%q does not appear", text)
			return 0
		}
	}
	await("● online", func() {})

	talking, stop := context.WithCancel(b.Context())
	var talk sync.WaitGroup
	posted := 0
	begin := time.Now()
	talk.Go(func() {
		for tick := time.NewTicker(time.Millisecond); talking.Err() == nil; <-tick.C {
			for due := int(time.Since(begin).Seconds() * rate); posted < due; posted++ {
				if _, err := room.Post(talking, fmt.Sprintf("message %d of many, with *some* emphasis and https://example.org/%d", posted, posted)); err != nil {
					return
				}
			}
		}
	})

	// Characters that nothing else on the screen has.
	const first, count = 'Ա', 38
	b.ResetTimer()
	var took []time.Duration
	for n := range b.N {
		time.Sleep(time.Duration(5+rand.IntN(30)) * time.Millisecond)
		if n%count == 0 {
			fmt.Fprint(keyboard, "\x15") // clears the line
			time.Sleep(50 * time.Millisecond)
		}
		text := string(first + rune(n%count))
		took = append(took, await(text, func() { io.WriteString(keyboard, text) }))
	}
	b.StopTimer()
	stop()
	talk.Wait()
	elapsed := time.Since(begin).Seconds()
	p.Send(tea.QuitMsg{})
	running.Wait()
	keyboard.Close()

	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "ms/p50")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "ms/p99")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "ms/max")
	b.ReportMetric(float64(model.room("lobby").head)/elapsed, "msg/s")
	b.ReportMetric(0, "ns/op") // the pauses between keys
}

// BenchmarkBatch is what it costs to take a frame's worth of messages and to
// draw the screen.
func BenchmarkBatch(b *testing.B) {
	m := newModel(&asked{}, Options{Config: Config{Server: "s:1", Username: "ann"}})
	m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	m.Update(batch{stateEvent{link: online, username: "ann"}, joinedEvent{asked: "lobby", room: "lobby"}})
	seq := uint64(0)
	for b.Loop() {
		var events batch
		for range 17 {
			seq++
			message := old(seq)
			events = append(events, messageEvent{room: "lobby", head: seq, message: message})
		}
		m.Update(events)
		m.View()
	}
}
