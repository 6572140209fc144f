package server_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/chat"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
)

// renewing is a store that can hold up those that look once more at the credential of a
// connection, which they do between the sign-in and the welcome.
type renewing struct {
	store.Store
	held    atomic.Bool
	reached chan struct{}
	release chan struct{}
}

func (s *renewing) View(ctx context.Context, run func(store.Tx) error) error {
	if s.held.Load() {
		stack := make([]byte, 16<<10)
		if strings.Contains(string(stack[:runtime.Stack(stack, false)]), "(*Service).Renew(") {
			s.reached <- struct{}{}
			<-s.release
		}
	}
	return s.Store.View(ctx, run)
}

// What another device changes while a connection signs in comes after its welcome, and not at
// all if it is refused.
func TestNothingComesBeforeTheWelcome(t *testing.T) {
	for _, refused := range []bool{false, true} {
		s := &renewing{Store: teststore.New(t), reached: make(chan struct{}), release: make(chan struct{})}
		w := newTownOn(t, chat.Options{}, s)
		phone := w.enter("ann")
		phone.must(`{"type":"join","room":"hall"}`)
		s.held.Store(true)
		laptop := w.dial()
		laptop.say(`{"type":"hello","version":1,"token":"%s","ref":"r"}`, w.tokens["ann"])
		select {
		case <-s.reached:
		case <-time.After(patience):
			t.Fatal("nobody looks at the credential again")
		}
		s.held.Store(false)
		for _, level := range []string{"all", "none"} { // the second comes when the first was told
			phone.say(`{"type":"notify","room":"hall","level":"%s"}`, level)
			for f := (frame{}); f["type"] != "state" || f["notify"] != level; {
				var err error
				if f, err = phone.next(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if refused {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return forgetSecrets(tx) }); err != nil {
				t.Fatal(err)
			}
		}
		close(s.release)
		want := "welcome"
		if refused {
			want = "error"
		}
		if first, err := laptop.next(); err != nil || first["type"] != want || first["ref"] != "r" {
			t.Fatalf("got %s (error: %v), want a frame of type %s", first, err, want)
		}
		if refused {
			laptop.expectEnd("auth")
			continue
		}
		laptop.expect("state", "room", "hall", "notify", "none")
	}
}

// forgetSecrets removes all secrets of a store.
func forgetSecrets(tx store.Tx) error {
	from, to := store.KeysUnder("secret")
	for {
		documents, err := tx.Scan(from, to, 100)
		if err != nil || len(documents) == 0 {
			return err
		}
		for i := range documents {
			if err := tx.Delete(documents[i].Key); err != nil {
				return err
			}
		}
	}
}
