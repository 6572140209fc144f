package torture

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// crowd is the set of clients that talk and listen during a campaign.
type crowd struct {
	t        *testing.T
	address  string
	tls      *tls.Config // nil: nothing is encrypted
	history  *History
	ctx      context.Context
	stop     context.CancelFunc
	group    sync.WaitGroup
	gate     sync.RWMutex // guards quiet; read-locked while announcing a message
	quiet    bool         // no new messages
	senders  []*client.Client
	amender  *amender       // nil: nobody changes messages
	amenders *client.Client // of the amender
	mu       sync.Mutex
	states   map[string]client.State // the last one of each SDK client
}

func newCrowd(t *testing.T, address string) *crowd {
	c := &crowd{t: t, address: address, history: NewHistory(), states: make(map[string]client.State)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	t.Cleanup(c.end)
	return c
}

// dial connects to the server.
func (c *crowd) dial(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: time.Second}
	if c.tls != nil {
		return (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, "tcp", c.address)
	}
	return dialer.DialContext(ctx, "tcp", c.address)
}

// options are the options of an SDK client.
func (c *crowd) options(name string) client.Options {
	return client.Options{Username: name, Dial: c.dial, MaxBackoff: 20 * time.Millisecond, OnState: func(s client.State) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.states[name] = s
	}}
}

// fail ends the test with the state of all clients.
func (c *crowd) fail(format string, args ...any) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.Fatalf("%s\nthe clients: %+v\nviolations so far: %q", fmt.Sprintf(format, args...), c.states, c.history.Violations())
}

func (c *crowd) end() {
	c.stop()
	for _, s := range c.senders {
		s.Close()
	}
	c.group.Wait()
}

// send sends messages from an SDK client, with a given number in flight.
func (c *crowd) send(name string, window int) {
	c.t.Helper()
	var session *client.Client
	var joined *client.Room
	var err error
	for deadline := time.Now().Add(patience); ; { // the server may be down at the moment
		if session, err = client.Dial(c.ctx, c.address, c.options(name)); err == nil {
			joined, err = session.Join(c.ctx, room, client.From{})
			if err == nil {
				break
			}
			session.Close()
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s cannot join: %v", name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.senders = append(c.senders, session)
	slots := make(chan struct{}, window)
	random := rand.New(rand.NewPCG(*seed, uint64(len(c.senders))))
	c.group.Go(func() {
		for i := 0; c.ctx.Err() == nil; i++ {
			select {
			case slots <- struct{}{}:
			case <-c.ctx.Done():
				return
			}
			content := fmt.Sprintf("%s-%d %s", name, i, strings.Repeat("é😀 word ", random.IntN(25)+1)+"end")
			if !c.announce(name, content) {
				return
			}
			pending, err := joined.Post(c.ctx, content)
			if err != nil {
				if c.ctx.Err() == nil {
					c.history.Violation("%s cannot post: %v", name, err)
				}
				return
			}
			c.group.Go(func() {
				defer func() { <-slots }()
				receipt, err := pending.Wait(c.ctx)
				switch {
				case err == nil:
					c.history.Acked(content, receipt.Seq)
				case c.ctx.Err() == nil:
					c.history.Violation("%s was rejected: %v", short(content), err)
				}
			})
		}
	})
}

// announce records the next message, once sending is allowed. It returns false at
// the end of the campaign.
func (c *crowd) announce(name, content string) bool {
	for c.ctx.Err() == nil {
		c.gate.RLock()
		quiet := c.quiet
		if !quiet {
			c.history.Sent(name, content)
		}
		c.gate.RUnlock()
		if !quiet {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// hush allows or forbids new messages. When it returns, no message is being
// announced.
func (c *crowd) hush(quiet bool) {
	c.gate.Lock()
	defer c.gate.Unlock()
	c.quiet = quiet
}

// watch reads with an SDK client.
func (c *crowd) watch(name string) {
	c.group.Go(func() {
		for c.ctx.Err() == nil {
			session, err := client.Dial(c.ctx, c.address, c.options(name))
			if err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			begun := c.follow(name, session)
			session.Close()
			if begun {
				return
			}
		}
	})
}

// follow reads until the end. It returns false if the server goes down before the
// join has succeeded, because the SDK only rejoins joined rooms.
func (c *crowd) follow(name string, session *client.Client) (begun bool) {
	joined, err := session.Join(c.ctx, room, client.After(client.Cursor{}))
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Temporary() {
		return false
	}
	if err != nil {
		if c.ctx.Err() == nil {
			c.history.Violation("%s cannot join: %v", name, err)
		}
		return true
	}
	for e, err := range joined.Entries(c.ctx) {
		if err != nil {
			if c.ctx.Err() == nil {
				c.history.Violation("%s: %v", name, err)
			}
			return true
		}
		m := Message{Seq: e.Seq}
		if e.Message != nil {
			m.Username, m.Content = e.Message.Username, e.Message.Content
		}
		c.history.Saw(name, m)
	}
	return true
}

// listen reads the bare protocol, so that nothing hides a repeat. Now and then the
// reader starts over from the first message.
func (c *crowd) listen(name string, lives int) {
	c.group.Go(func() {
		session, epoch := "", ""
		for life := 0; c.ctx.Err() == nil; {
			reader := fmt.Sprintf("%s-%d", name, life)
			err := c.hear(name, reader, &session, &epoch)
			if fault, ok := errors.AsType[violation](err); ok {
				c.history.Violation("%s: %s", reader, string(fault))
				return
			}
			if life < lives && rand.IntN(20) == 0 && c.history.Last(reader) > 0 {
				life++
			}
			if err != nil {
				time.Sleep(time.Millisecond)
			}
		}
	})
}

type violation string

func (v violation) Error() string { return string(v) }

// hear runs one connection of a reader.
func (c *crowd) hear(name, reader string, session, epoch *string) error {
	conn, err := c.dial(c.ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	username, err := kaban.ParseUsername(name)
	if err != nil {
		return err
	}
	lobby, err := kaban.ParseRoomName(room)
	if err != nil {
		return err
	}
	hello := wire.Request{Type: wire.TypeHello, Username: username, Resume: *session}
	after := c.history.Last(reader)
	join := wire.Request{Type: wire.TypeJoin, Room: lobby, After: after, HasAfter: true}
	if after > 0 {
		join.Epoch = *epoch
	}
	// Both in one write: the server processes all ready input.
	if _, err := conn.Write(join.Append(hello.Append(nil))); err != nil {
		return err
	}
	r := wire.NewReader(conn)
	defer r.Close()
	for {
		conn.SetReadDeadline(time.Now().Add(4 * time.Second))
		var e wire.Event
		if err := r.ReadEvent(&e); err != nil {
			return err
		}
		switch e.Type {
		case wire.TypeWelcome:
			*session = e.Session
		case wire.TypeJoined:
			if after > 0 && e.Epoch != *epoch {
				return violation("the epoch changed")
			}
			*epoch = e.Epoch
		case wire.TypeMessage, wire.TypeMember, wire.TypeTopic, wire.TypeRoom, wire.TypeUnknown:
			c.history.Saw(reader, Message{e.Seq, e.Username, e.Content})
		case wire.TypePing:
			if _, err := conn.Write((&wire.Request{Type: wire.TypePong}).Append(nil)); err != nil {
				return err
			}
		case wire.TypeGoodbye:
			return errors.New("goodbye")
		case wire.TypeError:
			if e.Code == wire.CodeResync {
				return violation("an unexpected resync")
			}
			return errors.New(e.Text)
		}
	}
}

// stall joins from the first message and never reads.
func (c *crowd) stall(name string) {
	c.group.Go(func() {
		for c.ctx.Err() == nil {
			conn, err := c.dial(c.ctx)
			if err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			fmt.Fprintf(conn, "{\"type\":\"hello\",\"version\":1,\"username\":%q}\n{\"type\":\"join\",\"room\":%q,\"after\":0}\n", name, room)
			one := make([]byte, 1)
			for c.ctx.Err() == nil { // a byte each second reveals a dead connection
				conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(one); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				select {
				case <-time.After(time.Second):
				case <-c.ctx.Done():
				}
			}
			conn.Close()
		}
	})
}

// settle waits until every message is acknowledged and the SDK's reader has seen it, and
// checks those of the amender.
func (c *crowd) settle(watcher string) {
	c.t.Helper()
	c.hush(true)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if c.history.InFlight() == 0 && int(c.history.Last(watcher)) >= c.history.Acks() {
			break
		}
		if time.Now().After(deadline) {
			c.fail("%d messages are still unacknowledged; %s saw %d of %d", c.history.InFlight(), watcher, c.history.Last(watcher), c.history.Acks())
		}
	}
	if c.amender != nil {
		c.checkAmended()
	}
}
