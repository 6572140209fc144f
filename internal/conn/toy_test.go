package conn_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// toy is a third protocol on the engine, with words instead of JSON: NICK name,
// JOIN room, MSG room text, PONG. It shows what a front end such as IRC needs: this
// file has all of it.
type toy struct {
	chat *chat.Chat
}

// Front implements conn.Protocol.
func (p toy) Front(remote netip.Addr) (conn.Front, *conn.Handler, netip.Addr) {
	c := &toyClient{chat: p.chat, at: remote}
	return c, &c.handler, remote
}

// TurnAway implements conn.Protocol.
func (toy) TurnAway(time.Duration) []byte { return []byte("BYE full\n") }

// toyFormat is how members with this protocol read a room.
type toyFormat struct{}

func (toyFormat) AppendEntry(dst []byte, room string, e *chat.Entry) []byte {
	return fmt.Appendf(dst, ":%s MSG %s %d %s\n", e.Username, room, e.Seq, e.Content)
}

func (toyFormat) AppendPresence(dst []byte, room string, members int, _, _ []string) []byte {
	return fmt.Appendf(dst, "NAMES %s %d\n", room, members)
}

func (toyFormat) AppendTyping(dst []byte, room string, names []string) []byte {
	return fmt.Appendf(dst, "TYPING %s %s\n", room, strings.Join(names, " "))
}

// maxToyLine bounds the input that is kept of one line.
const maxToyLine = 8 << 10

var errToyLine = errors.New("line too long")

type toyClient struct {
	at      netip.Addr
	chat    *chat.Chat
	handler conn.Handler
	session *chat.Session
	user    chat.User
	input   []byte
	sent    int
}

// Fill implements conn.Front.
func (c *toyClient) Fill() error {
	if len(c.input) >= maxToyLine {
		return errToyLine
	}
	buffer := make([]byte, 4<<10)
	n, err := c.handler.Read(buffer)
	c.input = append(c.input, buffer[:n]...)
	return err
}

// Next implements conn.Front.
func (c *toyClient) Next() conn.Need {
	line, rest, ok := bytes.Cut(c.input, []byte("\n"))
	switch {
	case !ok:
		return conn.NeedInput
	case !c.handler.Has(conn.NeedSend) && bytes.HasPrefix(line, []byte("MSG ")):
		return conn.NeedSend
	case !c.handler.Has(conn.NeedReply):
		return conn.NeedReply
	}
	c.input = rest
	c.handler.Spend(1)
	verb, argument, _ := strings.Cut(string(line), " ")
	if c.session == nil && verb != "NICK" {
		c.handler.End(conn.Violation, 0)
		return conn.NeedNothing
	}
	if do := map[string]func(string) error{"NICK": c.nick, "JOIN": c.join, "MSG": c.message, "PONG": c.pong}[verb]; do == nil {
		c.reply("ERR no such command")
	} else if err := do(argument); err != nil {
		c.reply("ERR " + err.Error())
	}
	return conn.NeedNothing
}

func (c *toyClient) reply(line string) {
	c.handler.Reply(append(append(c.handler.Output(), line...), '\n'))
}

func (c *toyClient) nick(text string) error {
	name, err := kaban.ParseUsername(text)
	if err != nil {
		return err
	}
	session := new(chat.Session)
	err = c.handler.Admit(func() error { return c.chat.Claim(session, c, kaban.Visitor(name), c.at, "") })
	if err == nil {
		c.session = session
		c.user = c.chat.As(c.session.Identity, c.at)
		c.reply("HELLO " + name.String())
	}
	return err
}

func (c *toyClient) join(text string) error {
	room, err := kaban.ParseRoomName(text)
	if err != nil {
		return err
	}
	var place chat.Place
	c.handler.Ask(func(ctx context.Context) { place, err = c.user.Find(ctx, room, chat.Start{Resume: true}) }, func() {
		if err != nil {
			c.reply("ERR " + err.Error())
			return
		}
		if c.session == nil {
			place.Abandon()
			return
		}
		place.Memory = c.handler.Memory()
		s, joined, err := c.user.Join(c.handler.Waker(), &c.handler, toyFormat{}, place)
		if err != nil {
			c.reply("ERR " + err.Error())
			return
		}
		c.reply(fmt.Sprintf("JOINED %s %d", s.Room().Name(), joined.Head))
		c.handler.Subscribe(s)
	})
	return nil
}

func (c *toyClient) message(text string) error {
	room, content, _ := strings.Cut(text, " ")
	var in *chat.Subscription
	for _, s := range c.handler.Subscriptions() {
		if s.Room().Name().String() == room {
			in = s
		}
	}
	c.sent++
	id, err := kaban.ParseMessageID(fmt.Sprint("toy-", c.handler.Origin(), "-", c.sent))
	if err != nil {
		return err
	}
	message, err := kaban.NewMessage(c.user.Identity().Name(), content, c.chat.MaxContent())
	if err != nil {
		return err
	}
	send, err := c.user.Draft(in, c.handler.Origin(), id, message, 0)
	if err != nil {
		return err
	}
	c.handler.Send(send)
	return nil
}

func (c *toyClient) pong(string) error { return nil }

// Release implements conn.Front.
func (c *toyClient) Release() {
	if len(c.input) == 0 {
		c.input = nil
	}
}

// InputEnded implements conn.Front.
func (c *toyClient) InputEnded(err error) {
	if errors.Is(err, errToyLine) {
		c.handler.End(conn.Violation, 0)
	}
}

// Ping implements conn.Front.
func (*toyClient) Ping(dst []byte) []byte { return append(dst, "PING\n"...) }

// Receipt implements conn.Front.
func (*toyClient) Receipt(dst []byte, s *chat.Subscription, r *chat.Receipt) []byte {
	if r.Err != nil {
		return fmt.Appendf(dst, "ERR %v\n", r.Err)
	}
	return fmt.Appendf(dst, "OK %s %d\n", s.Room().Name(), r.Seq)
}

// Lost implements conn.Front.
func (*toyClient) Lost(dst []byte, lost *chat.ResyncError) []byte {
	return fmt.Appendf(dst, "LOST %s %d\n", lost.Room, lost.Head)
}

// Expelled implements conn.Front.
func (c *toyClient) Expelled(dst []byte, s *dispatch.Subscription, e *dispatch.Expulsion) []byte {
	return fmt.Appendf(dst, "OUT %s %s\n", s.Room().Name(), e.Reason)
}

// Farewell implements conn.Front.
func (*toyClient) Farewell(dst []byte, reason conn.Reason, _ time.Duration) []byte {
	if reason == conn.HungUp {
		return dst
	}
	return fmt.Appendf(dst, "BYE %d\n", reason)
}

// Replace implements chat.Owner.
func (c *toyClient) Changed(kaban.RoomName) {}

func (c *toyClient) Revoke() { c.handler.Interrupt(conn.Refused, 0) }

func (c *toyClient) Replace() { c.handler.Interrupt(conn.Replaced, 0) }

// Leave implements conn.Front.
func (c *toyClient) Leave(s *chat.Subscription) { c.user.Leave(s, c.handler.InFlight() > 0) }

// Close implements conn.Front.
func (c *toyClient) Close() {
	if c.session != nil {
		c.chat.Release(c.session)
		c.session = nil
	}
}

// toyPeer speaks the protocol over TCP.
type toyPeer struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Scanner
}

func (p *toyPeer) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.conn, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads lines until one is as wanted; presence and pings may come before.
func (p *toyPeer) expect(want string) {
	p.t.Helper()
	for p.lines.Scan() {
		switch line := p.lines.Text(); {
		case line == want:
			return
		case strings.HasPrefix(line, "NAMES "):
		case line == "PING":
			p.say("PONG")
		default:
			p.t.Fatalf("got %q, want %q", line, want)
		}
	}
	p.t.Fatalf("got the end (%v), want %q", p.lines.Err(), want)
}

// serveToy runs a server with the toy protocol. It returns a function that dials
// it and says a name.
func serveToy(t *testing.T, config conn.Config) (m *conn.Manager, d *dispatch.Dispatcher, enter func(name string) *toyPeer) {
	t.Helper()
	d, err := dispatch.New(t.Context(), memory.New(0), dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config.Submit = rooms.Submit
	if m, err = conn.New(config); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(l, toy{rooms}) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-served; !errors.Is(err, conn.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		d.Close()
		if n := m.Panics(); n > 0 {
			t.Errorf("%d panics", n)
		}
	})
	return m, d, func(name string) *toyPeer {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		p := &toyPeer{t: t, conn: c, lines: bufio.NewScanner(c)}
		p.lines.Buffer(nil, 1<<20)
		p.say("NICK %s", name)
		return p
	}
}

// The third protocol talks, replays, refuses, is pinged and drained, with nothing
// of the engine changed for it.
func TestToyProtocol(t *testing.T) {
	m, _, enter := serveToy(t, conn.Config{Heartbeat: time.Second, Loops: 2})
	ann, bob := enter("ann"), enter("bob")
	ann.expect("HELLO ann")
	bob.expect("HELLO bob")
	ann.say("MSG den early")
	ann.expect("ERR " + chat.ErrNotJoined.Error())
	ann.say("JOIN den")
	ann.expect("JOINED den 0")
	ann.say("MSG den hello there")
	ann.expect("OK den 1")
	bob.say("JOIN den")
	bob.expect("JOINED den 1")
	bob.expect(":ann MSG den 1 hello there")
	bob.say("MSG den hi")
	bob.expect("OK den 2")
	ann.expect(":bob MSG den 2 hi")
	ann.say("WHO")
	ann.expect("ERR no such command")
	second := enter("ann")
	second.expect("ERR " + chat.ErrTaken.Error())
	ann.expectPing()

	long := enter("carl")
	long.expect("HELLO carl")
	go fmt.Fprint(long.conn, strings.Repeat("x", 4*maxToyLine))
	long.expect(fmt.Sprintf("BYE %d", conn.Violation))

	done := make(chan error, 1)
	go func() { done <- m.Shutdown(context.Background()) }()
	for _, p := range []*toyPeer{ann, bob} {
		p.expect(fmt.Sprintf("BYE %d", conn.Draining))
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func (p *toyPeer) expectPing() {
	p.t.Helper()
	for p.lines.Scan() {
		if p.lines.Text() == "PING" {
			p.say("PONG")
			return
		}
	}
	p.t.Fatalf("got the end (%v), want a ping", p.lines.Err())
}

// flood has one of two peers in a room say more than the sockets and the tail hold,
// 12 MiB, while the other one takes nothing.
func flood(enter func(string) *toyPeer) (slow, fast *toyPeer, n int, content string) {
	slow, fast = enter("slow"), enter("fast")
	for name, p := range map[string]*toyPeer{"slow": slow, "fast": fast} {
		p.expect("HELLO " + name)
		p.say("JOIN den")
		p.expect("JOINED den 0")
	}
	n, content = 3000, strings.Repeat("x", 4000)
	go func() {
		for range n {
			fmt.Fprintf(fast.conn, "MSG den %s\n", content)
		}
	}()
	for i := range n {
		fast.expect(fmt.Sprintf("OK den %d", i+1))
	}
	return slow, fast, n, content
}

// A reader that takes nothing for a while gets everything, once and in order.
func TestToyProtocolWithASlowReader(t *testing.T) {
	_, _, enter := serveToy(t, conn.Config{Heartbeat: time.Minute})
	slow, _, n, content := flood(enter)
	for i := range n {
		slow.expect(fmt.Sprintf(":fast MSG den %d %s", i+1, content))
	}
	slow.conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(slow.conn); err != nil || len(bytes.TrimSpace(rest)) > 0 && !strings.HasPrefix(string(rest), "NAMES") {
		t.Errorf("after everything: %q, %v", rest, err)
	}
}

// An expelled reader that takes nothing is given the rest of a line, its receipts
// and why, and can go on elsewhere.
func TestToyProtocolExpelled(t *testing.T) {
	_, d, enter := serveToy(t, conn.Config{Heartbeat: time.Minute})
	slow, fast, n, content := flood(enter)
	den, err := kaban.ParseRoomName("den")
	if err != nil {
		t.Fatal(err)
	}
	room := d.Peek(den)
	d.Expel(room, "kicked", func(r dispatch.Reader) bool { return r.Peer.ID() == "visitor:slow" })
	if room.Members() != 1 {
		t.Errorf("%d members after expelling one of two", room.Members())
	}
	next := 1
	for ; slow.lines.Scan(); next++ {
		line := slow.lines.Text()
		if line == "OUT den kicked" {
			break
		}
		if strings.HasPrefix(line, "NAMES ") {
			next--
		} else if line != fmt.Sprintf(":fast MSG den %d %s", next, content) {
			t.Fatalf("got %.40q, want entry %d", line, next)
		}
	}
	if next > n {
		t.Errorf("%d of %d entries were given after it was expelled", next-1, n)
	}
	slow.say("MSG den more")
	slow.expect("ERR " + chat.ErrNotJoined.Error())
	slow.say("JOIN lobby")
	slow.expect("JOINED lobby 0")
	fast.say("MSG den bye")
	fast.expect(fmt.Sprintf("OK den %d", n+1))
}
