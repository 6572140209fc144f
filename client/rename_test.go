package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"kaban/client"
	"kaban/client/clienttest"
	"kaban/internal/childtest"
	"kaban/internal/server"
	"kaban/wire"
)

// statuses notes what OnState is told.
type statuses struct {
	mu     sync.Mutex
	all    []client.State
	change chan struct{}
}

func newStatuses() *statuses { return &statuses{change: make(chan struct{}, 1)} }

func (s *statuses) tell(state client.State) {
	s.mu.Lock()
	s.all = append(s.all, state)
	s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
}

// await waits for a status after those that were awaited before.
func (s *statuses) await(t *testing.T, want client.Status) client.State {
	t.Helper()
	for ctx := within(t); ; {
		s.mu.Lock()
		at := slices.IndexFunc(s.all, func(state client.State) bool { return state.Status == want })
		if at >= 0 {
			state := s.all[at]
			s.all = s.all[at+1:]
			s.mu.Unlock()
			return state
		}
		s.mu.Unlock()
		select {
		case <-s.change:
		case <-ctx.Done():
			t.Fatalf("the status %d does not come", want)
		}
	}
}

// A change of name keeps rooms, the place in them and unsent messages; a refused
// one changes nothing.
func TestRename(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ctx := within(t)
	ben := dial(t, h.addr, "ben")
	talk := join(t, ben, client.From{})
	ann := dial(t, h.addr, "ann")
	r := join(t, ann, client.From{})
	if err := ann.Rename(ctx, "ben"); !isCode(err, wire.CodeUsernameTaken) || ann.Username() != "ann" {
		t.Errorf("a name that is taken: got %v, and the name is %s", err, ann.Username())
	}
	if err := ann.Rename(ctx, "no good\n"); err == nil || ann.Err() != nil {
		t.Errorf("a bad name: got %v and %v", err, ann.Err())
	}
	var pending []*client.Pending
	for n := range 20 {
		p, err := r.Post(ctx, fmt.Sprint("own ", n))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
		if _, err := talk.Send(ctx, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			if err := ann.Rename(ctx, fmt.Sprint("ann-", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range pending {
		if _, err := p.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	if got := ann.Username(); got != "ann-15" {
		t.Errorf("the name is %s", got)
	}
	var want []string
	for n := range 20 {
		want = append(want, fmt.Sprint(n))
	}
	if got := read(t, r, 20); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q: each once, none of the own", got, want)
	}
	page, err := ben.History(ctx, "lobby", client.HistoryQuery{Limit: 100})
	if err != nil || len(page.Messages()) != 40 {
		t.Fatalf("%d messages are stored, want 40: %v", len(page.Messages()), err)
	}
	if last := page.Messages()[39]; last.Username != "ann-15" && last.Username != "ben" {
		t.Errorf("the last message is by %s", last.Username)
	}
}

// A message that may have reached the server belongs to the old name: Rename waits
// for its answer, and gives up with ctx.
func TestRenameWaitsForAnswers(t *testing.T) {
	s := clienttest.NewServer(t)
	s.Withhold(true)
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.From{})
	p, err := r.Post(within(t), "under way")
	if err != nil {
		t.Fatal(err)
	}
	<-s.Sent()
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := c.Rename(short, "anna"); !errors.Is(err, client.ErrUnderWay) || c.Username() != "ann" {
		t.Errorf("got %v, and the name is %s", err, c.Username())
	}
	s.Withhold(false)
	s.Cut() // the message is sent again, and answered
	if _, err := p.Wait(within(t)); err != nil {
		t.Error(err)
	}
	if err := c.Rename(within(t), "anna"); err != nil || c.Username() != "anna" {
		t.Errorf("got %v, and the name is %s", err, c.Username())
	}
}

// A client of New tries its first connection again, and takes rooms and messages
// before it.
func TestTheFirstConnectionIsTriedAgain(t *testing.T) {
	refusing := childtest.Address(t)
	s := clienttest.NewServer(t)
	states := newStatuses()
	var mu sync.Mutex
	addr := refusing
	c := client.New(client.Options{OnState: states.tell, Dial: func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}})
	defer c.Close()
	ctx := within(t)
	if _, err := c.History(ctx, "lobby", client.HistoryQuery{}); !errors.Is(err, client.ErrOffline) {
		t.Errorf("a request before Connect: got %v", err)
	}
	if err := c.Rename(ctx, "anna"); !errors.Is(err, client.ErrOffline) {
		t.Errorf("Rename before Connect: got %v", err)
	}
	r, err := c.Open(clienttest.Room, client.From{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Post(ctx, "early")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect("", "ann"); err != nil {
		t.Fatal(err)
	}
	states.await(t, client.Connecting)
	if state := states.await(t, client.Offline); state.Err == nil || state.Unacknowledged != 1 {
		t.Errorf("offline with %v and %d messages", state.Err, state.Unacknowledged)
	}
	states.await(t, client.Connecting)
	mu.Lock()
	addr = s.Addr()
	mu.Unlock()
	states.await(t, client.Online)
	if err := r.Joined(ctx); err != nil {
		t.Error(err)
	}
	if receipt, err := p.Wait(ctx); err != nil || receipt.Seq != 1 {
		t.Errorf("got %+v, %v", receipt, err)
	}
}

// A client of New that is refused is Stopped, and goes on with another name.
func TestStopped(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	dial(t, h.addr, "ann")
	dial(t, h.addr, "ann-2")
	states := newStatuses()
	c := client.New(over(h.addr, client.Options{OnState: states.tell}))
	defer c.Close()
	r, err := c.Open("lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(h.addr, "ann", "ann-2"); err != nil {
		t.Fatal(err)
	}
	if state := states.await(t, client.Stopped); !isCode(state.Err, wire.CodeUsernameTaken) {
		t.Errorf("stopped with %v", state.Err)
	}
	if c.Err() != nil {
		t.Error("it is over")
	}
	if err := c.Connect(h.addr, "ann", "ann-3"); err != nil {
		t.Fatal(err)
	}
	states.await(t, client.Online)
	if got := c.Username(); got != "ann-3" {
		t.Errorf("the name is %s", got)
	}
	if err := r.Joined(within(t)); err != nil {
		t.Error(err)
	}
}

// A room can be left and joined again while its messages are under way: they are
// stored in the order in which they were posted.
func TestLeaveAndOpen(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ctx := within(t)
	c := dial(t, h.addr, "ann")
	var pending []*client.Pending
	for n := range 30 {
		r, err := c.Open("lobby", client.From{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Post(ctx, fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
		r.Leave()
		if _, err := r.Post(ctx, "late"); !errors.Is(err, client.ErrParted) {
			t.Errorf("a post to a room that is being left: got %v", err)
		}
	}
	for n, p := range pending {
		if receipt, err := p.Wait(ctx); err != nil || receipt.Seq != uint64(n+1) {
			t.Errorf("message %d: got %+v, %v", n, receipt, err)
		}
	}
}
