package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestPaths(t *testing.T) {
	hash, err := ParseHash(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds {
		key := Key{kind, hash}
		if got, ok := ParsePath(key.Path()); !ok || got != key {
			t.Errorf("%s is %v, %t", key.Path(), got, ok)
		}
	}
	if got, want := (Key{Thumbnail, hash}).Path(), "thumbs/ab/"+strings.Repeat("ab", 32); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	name := strings.Repeat("ab", 32)
	for _, path := range []string{
		"", "files", "files/" + name, "files/ac/" + name, "other/ab/" + name, "files/ab/" + strings.ToUpper(name), "files/ab/" + name[2:],
		"/files/ab/" + name, "files/ab/" + name + "/", "files/ab/.draft-" + name, "files//ab/" + name, "files/AB/" + name,
	} {
		if got, ok := ParsePath(path); ok {
			t.Errorf("%q is %v", path, got)
		}
	}
}

// The work on a blob takes turns, that on different ones does not, and nothing is left of it.
func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks Locks
		var group sync.WaitGroup
		inside, most := 0, 0
		var mu sync.Mutex
		for range 20 {
			group.Go(func() {
				unlock, err := locks.Lock(t.Context(), Hash{1})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				other, err := locks.Lock(t.Context(), Hash{2, byte(inside)})
				if err != nil {
					t.Error(err)
				}
				other()
				mu.Lock()
				inside--
				mu.Unlock()
				unlock()
				unlock() // once is enough
			})
		}
		group.Wait()
		if most != 1 {
			t.Errorf("%d work at once", most)
		}
		unlock, err := locks.Lock(t.Context(), Hash{1})
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		group.Go(func() {
			if _, err := locks.Lock(ctx, Hash{1}); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		})
		synctest.Wait()
		cancel(why)
		group.Wait()
		unlock()
		if len(locks.held) != 0 {
			t.Errorf("%d locks are left", len(locks.held))
		}
	})
}

// vanishing has a file that somebody deletes while it is read, as an S3 service may.
type vanishing struct{ Store }

func (vanishing) Open(_ context.Context, key Key) (io.ReadSeekCloser, Info, error) {
	return vanished{}, Info{Key: key, Size: 5}, nil
}

type vanished struct{ io.Seeker }

func (vanished) Read([]byte) (int, error) { return 0, fmt.Errorf("read: %w", ErrNotFound) }
func (vanished) Close() error             { return nil }

func TestCheckOfWhatVanishes(t *testing.T) {
	state, err := Check(t.Context(), vanishing{}, Key{}, 5)
	if state != Missing || err != nil {
		t.Errorf("got %v, %v, want it missing", state, err)
	}
}
