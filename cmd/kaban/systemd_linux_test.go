package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/systemd"
	"kaban/internal/systemd/systemdtest"
)

// stuckStore is a store whose appends wait while it is stuck.
type stuckStore struct {
	store.Store
	stuck atomic.Pointer[chan struct{}]
}

func (s *stuckStore) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if stuck := s.stuck.Load(); stuck != nil {
		<-*stuck
	}
	return s.Store.Append(ctx, batch, results)
}

// A store that hangs stops the pings of the watchdog, and one that works, or has nothing
// to do, does not.
func TestAStuckStoreStopsThePings(t *testing.T) {
	manager := systemdtest.NewManager(t)
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "")
	synctest.Test(t, func(t *testing.T) {
		kept := &stuckStore{Store: memory.New(0)}
		d, err := dispatch.New(t.Context(), kept, dispatch.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var log strings.Builder
		logger := slog.New(slog.NewTextHandler(&log, nil))
		go watch(ctx, func() string { return "well" }, d, systemd.NewNotifier(logger), logger)
		posts := 0
		post := func() { // waits in the background
			posts++
			id := fmt.Sprint("id-", posts)
			go func() {
				if _, err := d.Post(context.Background(), dispatch.Send{Draft: draftOf(t, id)}, func() {}); err != nil {
					t.Error(err)
				}
			}()
		}
		pings := func(step string, want bool) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			got := manager.Take()
			if n := strings.Count(strings.Join(got, "\n"), "WATCHDOG=1"); (n >= 5) != want || (n == 0) == want {
				t.Errorf("%s: %d pings in a minute: %q", step, n, got)
			}
		}
		pings("nothing to do", true)
		post()
		pings("a message", true)
		stuck := make(chan struct{})
		kept.stuck.Store(&stuck)
		post()
		synctest.Wait()
		manager.Take()
		pings("a store that hangs", false)
		post()
		pings("it still hangs", false)
		if !strings.Contains(log.String(), "the store does not finish a commit") {
			t.Errorf("the log is %q", log.String())
		}
		kept.stuck.Store(nil)
		close(stuck)
		pings("it goes on", true)
	})
}

// draftOf returns a message for the lobby.
func draftOf(t *testing.T, id string) kaban.Draft {
	room, err := kaban.ParseRoomName(kaban.Lobby)
	name, err2 := kaban.ParseUsername("ann")
	message, err3 := kaban.ParseMessageID(id)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Error(err)
	}
	return kaban.Draft{Author: kaban.Visitor(name), Room: room, ID: message, Kind: kaban.KindMessage, Body: "hello"}
}
