package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/client"
	"kaban/internal/people"
	"kaban/wire"
)

// exiles are kicked and invited again all the time, while they read and write at each node. What is said
// after a kick must not reach them, and nothing of theirs may be stored, before the next invitation.
type exiles struct {
	t      *testing.T
	c      *nodes
	op     *client.Client // at the front
	room   *client.Room
	token  wire.Secret // of the exile
	ctx    context.Context
	stop   context.CancelFunc
	group  sync.WaitGroup
	rounds int

	invited atomic.Int64 // the last round whose invitation has begun
	heard   atomic.Int64 // messages that have reached the exile
	sent    atomic.Int64 // of the exile, for their ids

	mu    sync.Mutex // guards acked
	acked map[uint64]string
}

// names of the accounts.
const opName, exileName = "olga", "tess"

// newExiles makes the accounts and the room.
func newExiles(t *testing.T, c *nodes) *exiles {
	x := &exiles{t: t, c: c, acked: make(map[uint64]string)}
	x.ctx, x.stop = context.WithCancel(context.Background())
	x.op, _ = x.signIn(opName, "owner")
	t.Cleanup(x.end)
	x.kaban("settings", "set", "access", "open") // to visitors, too
	var exile *client.Client
	exile, x.token = x.signIn(exileName, "user", "add")
	exile.Close()
	if _, err := x.op.Create(t.Context(), client.NewRoom{Name: ring, Kind: kaban.RoomPrivate}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.op.Invite(t.Context(), client.Moderation{Room: ring, Username: exileName}); err != nil {
		t.Fatal(err)
	}
	var err error
	if x.room, err = x.op.Open(ring, client.From{}); err != nil {
		t.Fatal(err)
	}
	x.group.Go(x.moderate)
	for i, n := range c.all {
		x.group.Go(func() { x.intrude(i, n.tcp) })
	}
	return x
}

// kaban runs a command at a node, which must succeed.
func (x *exiles) kaban(args ...string) {
	x.t.Helper()
	c := exec.Command(binary, append(args, "--data", x.c.primary.URL(databaseName), "--state", x.c.all[0].state)...)
	if output, err := c.CombinedOutput(); err != nil {
		x.t.Fatalf("kaban %v: %v\n%s", args, err, output)
	}
}

// signIn makes an account with a command, and returns a client of it and its token.
func (x *exiles) signIn(username string, command ...string) (*client.Client, wire.Secret) {
	x.t.Helper()
	file := filepath.Join(x.t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("password of "+username+"\n"), 0o600); err != nil {
		x.t.Fatal(err)
	}
	x.kaban(slices.Concat(command, []string{username, "--password-file", file})...)
	var token wire.Secret
	session, err := client.Dial(x.t.Context(), x.c.front.address, client.Options{
		Username: username, Password: wire.Secret("password of " + username), OnToken: func(s wire.Secret) { token = s },
		MaxBackoff: 200 * time.Millisecond, Silence: 2 * time.Second, Patience: 3 * time.Second,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return session, token
}

func (x *exiles) end() {
	x.stop()
	x.op.Close()
	x.group.Wait()
}

// moderate kicks, says something that the exile must not read, and invites.
func (x *exiles) moderate() {
	who := client.Moderation{Room: ring, Username: exileName}
	for round := 1; x.ctx.Err() == nil; round++ {
		if !x.must(x.op.Kick(x.ctx, who)) {
			return
		}
		for i := range 3 {
			if !x.must(x.room.Send(x.ctx, fmt.Sprintf("secret %d %d %s", round, i, marker))) {
				return
			}
		}
		time.Sleep(rand.N(300 * time.Millisecond))
		x.invited.Store(int64(round))
		if !x.must(x.op.Invite(x.ctx, who)) {
			return
		}
		if !x.must(x.room.Send(x.ctx, fmt.Sprintf("welcome %d %s", round, marker))) {
			return
		}
		time.Sleep(rand.N(time.Second)) // for the exile to come back at all nodes
		x.rounds = round
	}
}

// must reports whether something was done, and records a refusal.
func (x *exiles) must(_ client.Receipt, err error) bool {
	if err != nil && x.ctx.Err() == nil {
		x.c.violation("%s is refused: %v", opName, err)
	}
	return err == nil
}

// intrude reads and writes at a node, whenever it may.
func (x *exiles) intrude(node int, address string) {
	for x.ctx.Err() == nil {
		_ = x.visit(node, address) // it ends when the node does, too
		time.Sleep(20 * time.Millisecond)
	}
}

// visit runs one connection.
func (x *exiles) visit(node int, address string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(x.ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(x.ctx, func() { conn.Close() })()
	room, _ := kaban.ParseRoomName(ring)
	write := func(r wire.Request) error {
		_, err := conn.Write(r.Append(nil))
		return err
	}
	join := wire.Request{Type: wire.TypeJoin, Room: room}
	if err := write(wire.Request{Type: wire.TypeHello, Token: x.token}); err != nil {
		return err
	}
	if err := write(join); err != nil {
		return err
	}
	var talking sync.WaitGroup
	defer talking.Wait()
	defer conn.Close()
	talking.Go(func() {
		for ; x.ctx.Err() == nil; time.Sleep(rand.N(400 * time.Millisecond)) {
			id, text := fmt.Sprint("exile-", x.sent.Add(1)), fmt.Sprintf("at %d %s", node, marker)
			if _, err := fmt.Fprintf(conn, "{\"type\":\"send\",\"room\":%q,\"id\":%q,\"content\":%q}\n", ring, id, text); err != nil {
				return
			}
		}
	})
	r := wire.NewReader(conn)
	defer r.Close()
	for {
		conn.SetReadDeadline(time.Now().Add(4 * time.Second))
		var e wire.Event
		if err := r.ReadEvent(&e); err != nil {
			return err
		}
		switch e.Type {
		case wire.TypePing:
			err = write(wire.Request{Type: wire.TypePong})
		case wire.TypeMessage:
			x.hear(node, &e)
		case wire.TypeAck:
			x.note(&e)
		case wire.TypeParted, wire.TypeError: // it tries again, until it is invited
			time.Sleep(50 * time.Millisecond)
			err = write(join)
		}
		if err != nil {
			return err
		}
	}
}

// hear checks a message that has reached the exile.
func (x *exiles) hear(node int, e *wire.Event) {
	x.heard.Add(1)
	words := strings.Fields(e.Content)
	if len(words) < 3 || words[0] != "secret" {
		return
	}
	if round, err := strconv.ParseInt(words[1], 10, 64); err != nil || round > x.invited.Load() {
		x.c.violation("somebody that was kicked reads %q at node %d as %d, before the invitation", e.Content, node, e.Seq)
	}
}

// note records that a message of the exile was stored.
func (x *exiles) note(e *wire.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if before := x.acked[e.Seq]; before != "" && before != e.ID {
		x.c.violation("%s and %s are acknowledged as %d", before, e.ID, e.Seq)
	}
	x.acked[e.Seq] = e.ID
}

// check compares the log with who was a member.
func (x *exiles) check(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, x.c.primary.URL(databaseName))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	acked := len(x.acked)
	rows, err := conn.Query(ctx, "SELECT seq, kind, username, id, content FROM entries WHERE room = (SELECT id FROM rooms WHERE key = $1) AND seq > 0 ORDER BY seq", ring)
	if err != nil {
		return err
	}
	type entry struct {
		Seq                   uint64
		Kind                  kaban.Kind
		Username, ID, Content string
	}
	log, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return err
	}
	member := false
	for i, e := range log {
		if e.Seq != uint64(i)+1 {
			x.c.violation("%s has %d instead of %d", ring, e.Seq, i+1)
		}
		if id, ok := x.acked[e.Seq]; ok && id != e.ID {
			x.c.violation("%s was acknowledged as %d in %s, which is %s", id, e.Seq, ring, e.ID)
		}
		delete(x.acked, e.Seq)
		switch {
		case e.Kind == kaban.KindMember:
			change, err := people.DecodeChange[people.MemberChange](e.Content)
			if err != nil {
				return err
			}
			if change.Subject == exileName {
				member = change.Change == people.ChangeInvited
			}
		case e.Username == exileName && !member:
			x.c.violation("%d in %s is of %s, which is no member there: %s", e.Seq, ring, exileName, e.Content)
		}
	}
	for seq, id := range x.acked {
		x.c.violation("%s was acknowledged as %d in %s, and is not stored", id, seq, ring)
	}
	x.t.Logf("%s: %d entries, %d rounds of kicks, %d messages have reached %s, and %d of its own were acknowledged", ring, len(log), x.rounds, x.heard.Load(), exileName, acked)
	if x.rounds == 0 || x.heard.Load() == 0 || acked == 0 {
		return errors.New("the exile was not kicked, has read nothing or has written nothing, so nothing is known of what kicks do")
	}
	return nil
}
