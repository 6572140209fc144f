package kaban

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// head is the part of an id that no other id of the process has.
func head(id MessageID) string { return id.String()[:18] }

// An id is a UUID of version 7 with the time at which it is made.
func TestNewMessageID(t *testing.T) {
	before := time.Now().UnixMilli()
	id := NewMessageID()
	after := time.Now().UnixMilli()
	if parsed, err := ParseMessageID(id.String()); err != nil || parsed != id {
		t.Errorf("%s is parsed as %s, %v", id, parsed, err)
	}
	made, err := uuid.Parse(id.String())
	if err != nil {
		t.Fatal(err)
	}
	if made.String() != id.String() || made.Version() != 7 || made.Variant() != uuid.RFC4122 {
		t.Errorf("%s is of version %d, variant %s", id, made.Version(), made.Variant())
	}
	seconds, nanoseconds := made.Time().UnixTime()
	// The ids that tests have made in the same millisecond may have used up the next ones.
	if at := time.Unix(seconds, nanoseconds).UnixMilli(); at < before || at > after+1000 {
		t.Errorf("%s is of %d, but was made from %d to %d", id, at, before, after)
	}
}

// The ids of a process ascend whatever its clock does, and none has the head of another.
func TestMessageIDsAscend(t *testing.T) {
	const many = 20_000 // more than there are fractions of a millisecond
	var ids []MessageID
	take := func() {
		for range many {
			ids = append(ids, NewMessageID())
		}
	}
	take()
	synctest.Test(t, func(t *testing.T) { // a clock that stands still, decades before
		if now := time.Now(); now.Year() != 2000 {
			t.Fatalf("it is %s", now)
		}
		take()
		time.Sleep(time.Second)
		take()
	})
	take()
	for i := 1; i < len(ids); i++ {
		if head(ids[i-1]) >= head(ids[i]) {
			t.Fatalf("%s follows %s", ids[i], ids[i-1])
		}
	}
}

// Ids that are made at the same time differ in their heads.
func TestMessageIDsDiffer(t *testing.T) {
	made := make([][]string, 8)
	var making sync.WaitGroup
	for i := range made {
		making.Go(func() {
			for range 5000 {
				made[i] = append(made[i], head(NewMessageID()))
			}
		})
	}
	making.Wait()
	all := slices.Concat(made...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 8*5000 {
		t.Errorf("%d ids have only %d heads", 8*5000, n)
	}
}

// Different processes, which may make ids at the same time, differ in the rest.
func TestMessageIDsAreRandom(t *testing.T) {
	var ones, zeros [8]byte
	for range 200 {
		made, err := uuid.Parse(NewMessageID().String())
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range made[8:] {
			ones[i] |= b
			zeros[i] |= ^b
		}
	}
	for i := range ones {
		want := byte(0xff)
		if i == 0 {
			want = 0x3f // behind the variant
		}
		if ones[i]&zeros[i]&want != want {
			t.Errorf("byte %d has bits that are always the same: %08b", 8+i, ^(ones[i] & zeros[i]))
		}
	}
}

func BenchmarkNewMessageID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewMessageID()
	}
}
