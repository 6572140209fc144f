package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// talk is what clients of a cluster say and read in some rooms.
type talk struct {
	t         *testing.T
	c         *nodes
	histories map[string]*History
	rooms     []string
	writers   int
	ctx       context.Context
	stop      context.CancelFunc
	reading   sync.WaitGroup
	writing   sync.WaitGroup
	quiet     atomic.Bool // no new messages
	acks      atomic.Int64

	mu      sync.Mutex // guards all below
	readers []string
	last    time.Time     // when something was acknowledged
	pause   time.Duration // the longest without an ack
}

// perSecond is about how many messages a campaign sends in a second.
const perSecond = 250

func newTalk(t *testing.T, c *nodes, writers, rooms int) *talk {
	k := &talk{t: t, c: c, histories: make(map[string]*History), writers: writers, last: time.Now()}
	for i := range rooms {
		name := fmt.Sprint("room-", i)
		k.rooms = append(k.rooms, name)
		k.histories[name] = NewHistory()
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	t.Cleanup(k.end)
	for i := range writers {
		k.writing.Go(func() { k.write(fmt.Sprint("writer-", i), rand.New(rand.NewPCG(*seed, uint64(i)))) })
	}
	for i, n := range c.all {
		k.listen(fmt.Sprint("listener-", i), n.tcp)
	}
	k.listen("listener", c.front.address)
	k.watch("watcher")
	return k
}

func (k *talk) end() {
	k.stop()
	k.writing.Wait()
	k.reading.Wait()
}

// connect returns a client of the SDK at the front.
func (k *talk) connect(name string) *client.Client {
	for {
		session, err := client.Dial(k.ctx, k.c.front.address, client.Options{
			Username: name, MaxBackoff: 200 * time.Millisecond, Silence: 2 * time.Second, Patience: 3 * time.Second,
		})
		if err == nil || k.ctx.Err() != nil {
			return session
		}
		if refused, ok := errors.AsType[*client.Error](err); ok && !refused.Temporary() && refused.Code != wire.CodeUsernameTaken {
			k.c.violation("%s cannot connect: %v", name, err)
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// write sends a message after the other to any room.
func (k *talk) write(name string, random *rand.Rand) {
	session := k.connect(name)
	if session == nil {
		return
	}
	defer session.Close()
	joined := make(map[string]*client.Room)
	for i := 0; k.ctx.Err() == nil && !k.quiet.Load(); i++ {
		in := k.rooms[random.IntN(len(k.rooms))]
		room := joined[in]
		if room == nil {
			var err error
			if room, err = session.Open(in, client.From{}); err != nil {
				k.c.violation("%s cannot open %s: %v", name, in, err)
				return
			}
			joined[in] = room
		}
		content := fmt.Sprintf("%s-%d %s %s", name, i, marker, strings.Repeat("é😀 word ", random.IntN(12)))
		content = strings.TrimSpace(content)
		k.histories[in].Sent(name, content)
		receipt, err := room.Send(k.ctx, content)
		switch {
		case err == nil:
			k.histories[in].Acked(content, receipt.Seq)
			k.note()
		case k.ctx.Err() == nil:
			k.c.violation("%s was rejected in %s: %v", short(content), in, err)
			return
		}
		time.Sleep(rand.N(2 * time.Second * time.Duration(k.writers) / perSecond))
	}
}

// note counts an ack.
func (k *talk) note() {
	k.acks.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pause, k.last = max(k.pause, time.Since(k.last)), time.Now()
}

// await waits until some more messages are acknowledged.
func (k *talk) await(more int64) error {
	want := k.acks.Load() + more
	for deadline := time.Now().Add(patience); k.acks.Load() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing is acknowledged for %v", patience)
		}
	}
	return nil
}

// watch reads all rooms with the SDK.
func (k *talk) watch(name string) {
	k.readers = append(k.readers, name)
	k.reading.Go(func() {
		session := k.connect(name)
		if session == nil {
			return
		}
		defer session.Close()
		var group sync.WaitGroup
		defer group.Wait()
		for in, history := range k.histories {
			room, err := session.Open(in, client.After(client.Cursor{}))
			if err != nil {
				k.c.violation("%s cannot open %s: %v", name, in, err)
				continue
			}
			group.Go(func() {
				for e, err := range room.Entries(k.ctx) {
					if err != nil {
						if k.ctx.Err() == nil {
							history.Violation("%s in %s: %v", name, in, err)
						}
						return
					}
					m := Message{Seq: e.Seq}
					if e.Message != nil {
						m.Username, m.Content = e.Message.Username, e.Message.Content
					}
					history.Saw(name, m)
				}
			})
		}
	})
}

// listen reads the bare protocol in all rooms at an address, so that nothing hides a repeat.
func (k *talk) listen(name, address string) {
	k.readers = append(k.readers, name)
	k.reading.Go(func() {
		l := &listener{talk: k, name: name, address: address, epochs: make(map[string]string)}
		for k.ctx.Err() == nil {
			if fault, ok := errors.AsType[violation](l.hear()); ok {
				k.c.violation("%s: %s", name, string(fault))
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// listener is a reader of the bare protocol, over all its connections.
type listener struct {
	*talk
	name, address string
	session       string
	epochs        map[string]string // by room
}

// hear runs one connection.
func (l *listener) hear() error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(l.ctx, "tcp", l.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(l.ctx, func() { conn.Close() })()
	if _, err := conn.Write(l.greeting()); err != nil {
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
		if e.Type == wire.TypePing {
			if _, err := conn.Write((&wire.Request{Type: wire.TypePong}).Append(nil)); err != nil {
				return err
			}
		} else if err := l.take(&e); err != nil {
			return err
		}
	}
}

// greeting is how a connection begins: it goes on in each room where the last one ended.
func (l *listener) greeting() []byte {
	name, _ := kaban.ParseUsername(l.name)
	text := (&wire.Request{Type: wire.TypeHello, Username: name, Resume: l.session}).Append(nil)
	for _, in := range l.rooms {
		room, _ := kaban.ParseRoomName(in)
		after := l.histories[in].Last(l.name)
		join := wire.Request{Type: wire.TypeJoin, Room: room, After: after, HasAfter: true}
		if after > 0 {
			join.Epoch = l.epochs[in]
		}
		text = join.Append(text)
	}
	return text
}

// take takes an event that is no ping.
func (l *listener) take(e *wire.Event) error {
	switch {
	case e.Type == wire.TypeWelcome:
		l.session = e.Session
	case e.Type == wire.TypeJoined:
		if before := l.epochs[e.Room]; before != "" && before != e.Epoch {
			return violation("the epoch changed")
		}
		l.epochs[e.Room] = e.Epoch
	case e.IsEntry():
		l.histories[e.Room].Saw(l.name, Message{e.Seq, e.Username, e.Content})
	case e.Type == wire.TypeGoodbye:
		return errors.New("goodbye")
	case e.Type == wire.TypeError && e.Code == wire.CodeResync:
		return violation("an unexpected resync in " + e.Room)
	case e.Type == wire.TypeError:
		return errors.New(e.Text)
	}
	return nil
}

// settle waits until every message is acknowledged, and all readers have read everything.
func (k *talk) settle(stored map[string][]Message) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		behind := k.behind(stored)
		if behind == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(behind)
		}
	}
}

// behind names a reader that has not read everything, or returns "".
func (k *talk) behind(stored map[string][]Message) string {
	for in, messages := range stored {
		for _, reader := range k.readers {
			if last := k.histories[in].Last(reader); last < uint64(len(messages)) {
				return fmt.Sprintf("%s has read %d of %d in %s", reader, last, len(messages), in)
			}
		}
	}
	return ""
}

// hush lets every message that was sent be acknowledged, and sends no more.
func (k *talk) hush() error {
	k.quiet.Store(true)
	done := make(chan struct{})
	k.reading.Go(func() {
		k.writing.Wait()
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("not everything is acknowledged: %q", k.unacknowledged())
	}
}

// unacknowledged names the messages without an ack, with what the database has of them.
func (k *talk) unacknowledged() (problems []string) {
	stored, err := k.stored(context.Background())
	if err != nil {
		return []string{err.Error()}
	}
	for in, history := range k.histories {
		for _, problem := range history.CheckComplete() {
			who, _, _ := strings.Cut(problem, "…")
			for _, m := range stored[in] {
				if short(m.Content) == who+"…" {
					problem += fmt.Sprint(", and is stored as ", m.Seq)
				}
			}
			problems = append(problems, fmt.Sprintf("%s: %s; the head is %d", in, problem, len(stored[in])))
		}
	}
	return problems
}

// stored returns what the database has in the rooms.
func (k *talk) stored(ctx context.Context) (map[string][]Message, error) {
	conn, err := pgx.Connect(ctx, k.c.primary.URL(databaseName))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	all := make(map[string][]Message)
	for in := range k.histories {
		room, err := kaban.ParseRoomName(in)
		if err != nil {
			return nil, err
		}
		if all[in], err = messagesOf(ctx, conn, room); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func messagesOf(ctx context.Context, conn *pgx.Conn, room kaban.RoomName) ([]Message, error) {
	rows, err := conn.Query(ctx, "SELECT seq, username, content FROM entries WHERE room = (SELECT id FROM rooms WHERE key = $1) AND seq > 0 ORDER BY seq", room.Key())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Message])
}

// check returns the violations of all rooms.
func (k *talk) check(stored map[string][]Message) (problems []string) {
	for _, in := range slices.Sorted(maps.Keys(stored)) {
		for _, problem := range slices.Concat(k.histories[in].Check(stored[in]), k.histories[in].CheckComplete()) {
			problems = append(problems, in+": "+problem)
		}
	}
	return problems
}
