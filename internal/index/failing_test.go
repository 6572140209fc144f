package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// unreadable is a store in which a number of reads fail.
type unreadable struct {
	store.Store
	left atomic.Int64
}

func (s *unreadable) Read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if s.left.Add(-1) >= 0 {
		return nil, errors.New("the disk is full")
	}
	return s.Store.Read(ctx, room, page)
}

// An index that fails again and again says so once, and once that it works again. It then
// has everything.
func TestFailuresAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreadable{Store: memory.New(0)}
		var log bytes.Buffer // looked at while the index waits
		w := &world{t: t, store: s, shape: usual, random: rand.New(rand.NewPCG(3, 4))}
		w.index = Open(s, "", Options{Eager: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
		defer w.index.Close()
		room := storetest.RoomName(t, "lobby")
		for times := range 2 {
			s.left.Store(4)
			w.say(room, "ann", "word")
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if w.index.Status().Problem == nil {
				t.Error("there is no problem while reads fail")
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, text := range []string{"level=ERROR msg=\"the search index does not work", "level=INFO msg=\"the search index works again"} {
				if n := strings.Count(log.String(), text); n != times+1 {
					t.Errorf("%q is in the log %d times, want %d:\n%s", text, n, times+1, log.String())
				}
			}
			if found := w.find("word", nil); len(found) != times+1 {
				t.Errorf("found %d messages, want %d", len(found), times+1)
			}
		}
	})
}

// counted is a store that counts reads, and has something done at the first.
type counted struct {
	store.Store
	reads atomic.Int64
	first func()
}

func (s *counted) Read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if s.reads.Add(1) == 1 {
		s.first()
	}
	return s.Store.Read(ctx, room, page)
}

// An index that is to be made anew while it reads ahead does not read on before that.
func TestRebuiltWhileReadingAhead(t *testing.T) {
	const rooms = 50
	s := &counted{Store: memory.New(0)}
	for i := range rooms {
		storetest.Append(t, s, storetest.Draft(t, fmt.Sprint("room-", i), "ann", "a", "hello"))
	}
	x := newIndex(s, "", Options{Eager: true})
	s.first = x.Rebuild
	ctx, end := context.WithCancel(t.Context())
	x.end = end
	x.group.Go(func() {
		defer close(x.ended)
		x.run(ctx)
	})
	defer x.Close()
	if err := x.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.reads.Load(); n != 1+rooms {
		t.Errorf("%d reads, want %d", n, 1+rooms)
	}
}
