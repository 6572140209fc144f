package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

// reads counts what is asked of a store.
type reads struct {
	store.Store
	n atomic.Int64
}

func (s *reads) View(ctx context.Context, run func(store.Tx) error) error {
	return s.Store.View(ctx, func(tx store.Tx) error { return run(readsTx{tx, &s.n}) })
}

func (s *reads) Share() (store.Store, error) { return s, nil }

// readsTx counts the reads of a transaction.
type readsTx struct {
	store.Tx
	n *atomic.Int64
}

func (t readsTx) Get(key string) ([]byte, error) {
	t.n.Add(1)
	return t.Tx.Get(key)
}

func (t readsTx) GetAll(keys []string) ([][]byte, error) {
	t.n.Add(1)
	return t.Tx.GetAll(keys)
}

func (t readsTx) Scan(from, to string, limit int) ([]store.Document, error) {
	t.n.Add(1)
	return t.Tx.Scan(from, to, limit)
}

func (t readsTx) Revision(room kaban.RoomName) (uint64, error) {
	t.n.Add(1)
	return t.Tx.Revision(room)
}

// BenchmarkSignIn is a connection that signs in with the token of one of 1,000 accounts, joins
// a room, and ends: a room in which the account is a member, or one in which it becomes one.
// Bytes and allocations are those of the server and, a few, of its client; reads are what asks
// the store for documents and revisions.
func BenchmarkSignIn(b *testing.B) {
	const people, perRoom = 1000, 10
	disk, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := &reads{Store: disk}
	var accounts *account.Service
	f := startAll(b, chat.Options{}, conn.Config{}, s, dispatch.Options{PresenceDelay: time.Hour}, func(a *account.Service) { accounts = a })
	if _, err := accounts.MakeOwner(b.Context(), "olga", password); err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, people)
	for i := range tokens {
		name := fmt.Sprint("ann", i)
		_, _, err := accounts.AddAccount(b.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: name}, Role: kaban.RoleMember})
		if err != nil {
			b.Fatal(err)
		}
		_, tokens[i], err = accounts.MakeToken(b.Context(), account.Operator(), account.NewToken{Username: name, Name: "test", Expires: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
	}
	enter := func(i int, room string) net.Conn {
		c := f.dialConn()
		fmt.Fprintf(c, `{"type":"hello","version":1,"token":%q}`+"\n"+`{"type":"join","room":%q}`+"\n", tokens[i%people], room)
		c.SetReadDeadline(time.Now().Add(patience))
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if strings.Contains(lines.Text(), `"type":"joined"`) {
				return c
			}
		}
		b.Fatal("the connection has ended, or did not join")
		return nil
	}
	leave := func(c net.Conn) {
		if half, ok := c.(*net.TCPConn); ok {
			half.CloseWrite()
			io.Copy(io.Discard, c) // until the server has seen it
		}
		c.Close()
	}
	next := 0
	measure := func(b *testing.B, room func(i int) string) {
		b.ReportAllocs()
		before, first := s.n.Load(), next
		for b.Loop() {
			leave(enter(next, room(next)))
			next++
		}
		b.ReportMetric(float64(s.n.Load()-before)/float64(next-first), "reads/op")
	}
	for i := range people {
		leave(enter(i, "lobby"))
	}
	b.Run("member", func(b *testing.B) { measure(b, func(int) string { return "lobby" }) })
	b.Run("new member", func(b *testing.B) { measure(b, func(i int) string { return fmt.Sprint("hall-", i/perRoom) }) })
}
