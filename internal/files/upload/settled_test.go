package upload

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// settledBy settles uploads of an owner, a second after each other, and returns their ids.
func settledBy(t *testing.T, s *Staging, owner string, n int) (ids []string) {
	t.Helper()
	for range n {
		id := created(t, s, owner, 1)
		appended(t, s, id, 0, []byte("x"))
		if err := s.Settle(id, nil); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		time.Sleep(time.Second)
	}
	return ids
}

// known checks that exactly these uploads are known, also on the disk.
func known(t *testing.T, s *Staging, what string, want ...string) {
	t.Helper()
	var got, names []string
	for _, info := range s.All() {
		got = append(got, info.ID)
	}
	for _, id := range want {
		names = append(names, id+doneSuffix)
	}
	slices.Sort(got)
	slices.Sort(want)
	slices.Sort(names)
	if !slices.Equal(got, want) || !slices.Equal(left(t, s.dir), names) {
		t.Errorf("%s: %v are known, %v are left; want %v", what, got, left(t, s.dir), want)
	}
}

// Of uploads that are done the latest are remembered, of each owner and of all, also after a
// start with other limits.
func TestSettledAreBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, Limits{Settled: 8, SettledPerOwner: 3})
		ann, bob, cid := settledBy(t, s, "ann", 10), settledBy(t, s, "bob", 2), settledBy(t, s, "cid", 3)
		known(t, s, "at the limits", slices.Concat(ann[7:], bob, cid)...)
		dan := settledBy(t, s, "dan", 1)
		known(t, s, "beyond that of all", slices.Concat(ann[8:], bob, cid, dan)...)
		if _, err := s.Info(ann[0]); !errors.Is(err, ErrNotFound) {
			t.Errorf("Info: %v", err)
		}
		// One that is settled again is as old as before.
		if err := s.Settle(ann[8], nil); err != nil {
			t.Fatal(err)
		}
		dan = append(dan, settledBy(t, s, "dan", 1)...)
		known(t, s, "settled again", slices.Concat(ann[9:], bob, cid, dan)...)
		for i, id := range slices.Concat(ann[9:], bob, cid, dan) { // the records are of the real time
			at := time.Now().Add(time.Duration(i)*time.Second - time.Minute)
			if err := os.Chtimes(s.path(id, doneSuffix), at, at); err != nil {
				t.Fatal(err)
			}
		}
		s = opened(t, dir, Limits{Settled: 4, SettledPerOwner: 2})
		known(t, s, "after a start", slices.Concat(cid[1:], dan)...)
		if s.settledIn != 4 || len(s.settled) != 2 || s.unsettled != 0 || len(s.owners) != 0 {
			t.Errorf("%d are counted, %v, %v", s.settledIn, s.settled, s.owners)
		}
		time.Sleep(time.Hour)
		if n, err := s.Expire(); n != 4 || err != nil || s.settledIn != 0 || len(s.settled) != 0 {
			t.Errorf("%d expire, %v, %d are counted, %v", n, err, s.settledIn, s.settled)
		}
	})
}

// A server that starts again and again keeps uploads that are done for a day at most.
func TestSettledAreForgotten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, DefaultLimits())
		id, at := settledBy(t, s, "ann", 1)[0], time.Now()
		if err := os.Chtimes(s.path(id, doneSuffix), at, at); err != nil {
			t.Fatal(err)
		}
		for time.Since(at) < settledAtMost-time.Minute {
			if n, err := s.Expire(); n != 0 || err != nil {
				t.Fatalf("%d expire after %s, %v", n, time.Since(at), err)
			}
			time.Sleep(30 * time.Minute)
			s = opened(t, dir, DefaultLimits())
		}
		if n, err := s.Expire(); n != 1 || err != nil {
			t.Errorf("%d expire after %s, %v", n, time.Since(at), err)
		}
	})
}

// An upload without a byte ends after minutes, and one that does not grow keeps only the room
// for what has come.
func TestIdleGivesRoomBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, Limits{Staged: 1000, Idle: 24 * time.Hour, Empty: 10 * time.Minute})
		expire := func(want int, staged int64) {
			t.Helper()
			if n, err := s.Expire(); n != want || err != nil || s.Staged() != staged {
				t.Errorf("%d expire, %v, with %d bytes staged; want %d and %d", n, err, s.Staged(), want, staged)
			}
		}
		empty, begun, nothing := created(t, s, "eve", 500), created(t, s, "ann", 500), created(t, s, "ann", 0)
		time.Sleep(time.Minute)
		appended(t, s, begun, 0, []byte("0123456789"))
		if _, err := s.Create(Draft{Length: 1}); err == nil {
			t.Error("there is room for more")
		}
		time.Sleep(9*time.Minute - 1)
		expire(0, 1000)
		time.Sleep(time.Nanosecond)
		expire(1, 500)
		if _, err := s.Info(empty); !errors.Is(err, ErrNotFound) {
			t.Errorf("Info: %v", err)
		}
		if _, err := s.Info(nothing); err != nil {
			t.Errorf("an empty file, which is complete: %v", err)
		}
		time.Sleep(time.Minute)
		expire(0, 10)
		expire(0, 10)
		// It goes on where there is room for all of it.
		other := created(t, s, "bob", 600)
		_, err := s.Append(t.Context(), begun, 10, strings.NewReader("x"))
		if e, ok := errors.AsType[*LimitError](err); !ok || e.Limit != LimitStaged || e.Actual != 1100 || s.Staged() != 610 {
			t.Errorf("without room: %v, with %d bytes staged", err, s.Staged())
		}
		if err := s.Remove(other); err != nil {
			t.Fatal(err)
		}
		appended(t, s, begun, 10, []byte("x"))
		expire(0, 500)
		time.Sleep(10 * time.Minute)
		expire(0, 11)
		s = opened(t, dir, s.limits)
		if got := s.Staged(); got != 500 {
			t.Errorf("%d bytes are staged after a start, want 500", got)
		}
		if err := errors.Join(s.Remove(begun), s.Remove(nothing)); err != nil || s.Staged() != 0 || len(left(t, dir)) != 0 {
			t.Errorf("%v, %d bytes are staged, left are %v", err, s.Staged(), left(t, dir))
		}
	})
}

// However many are done one after another, no more than the limit are remembered.
func TestManySettled(t *testing.T) {
	s := opened(t, t.TempDir(), Limits{Settled: 50, SettledPerOwner: 5})
	for i := range 300 {
		id := created(t, s, fmt.Sprint(i%20), 0)
		if err := s.Settle(id, nil); err != nil {
			t.Fatal(err)
		}
		if len(s.All()) > 50 || s.settledIn != len(s.all) {
			t.Fatalf("%d are known, %d are counted", len(s.All()), s.settledIn)
		}
	}
}
