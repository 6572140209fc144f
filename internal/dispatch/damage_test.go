package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// rotten is a store in which some entries are damaged.
type rotten struct {
	store.Store
	damaged []uint64
}

func (s *rotten) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	entries, err := s.Store.Read(ctx, room, p)
	if p.Last {
		slices.Reverse(entries)
	}
	for i := range entries {
		if slices.Contains(s.damaged, entries[i].Seq) {
			if i == 0 {
				return nil, &store.DamagedError{Room: room, Seq: entries[i].Seq}
			}
			entries = entries[:i]
			break
		}
	}
	if p.Last {
		slices.Reverse(entries)
	}
	return entries, err
}

// History ends a page as Read does.
func (s *rotten) History(ctx context.Context, room kaban.RoomName, p store.Page) (store.History, error) {
	h, err := s.Store.History(ctx, room, p)
	if err != nil {
		return h, err
	}
	if p.Last {
		slices.Reverse(h.Entries)
	}
	for i := range h.Entries {
		seq := h.Entries[i].Seq
		if !slices.Contains(s.damaged, seq) {
			continue
		}
		if i == 0 {
			return store.History{}, &store.DamagedError{Room: room, Seq: seq}
		}
		h.Entries = h.Entries[:i]
		h.Stop(seq, p.Last)
		break
	}
	if p.Last {
		slices.Reverse(h.Entries)
	}
	return h, nil
}

// A cursor gets one resync for damaged entries, and every other entry once.
func TestACursorPassesDamagedEntries(t *testing.T) {
	s := &rotten{memory.New(1 << 20), []uint64{1, 4, 5, 9, 20}}
	for i := 1; i <= 20; i++ {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i), fmt.Sprint(i)))
	}
	d := newDispatcher(t, s, Options{})
	r := newReader(t)
	sub := join(t, d, r, "lobby", "bob", Start{Resume: true})
	storetest.Append(t, s.Store, storetest.Draft(t, "lobby", "ann", "other-writer", "21"))
	d.Submit([]Send{send(t, join(t, d, newReader(t), "lobby", "carol", Start{}), "carol", "c-1", "22")})
	r.until(sub, 22)
	var want []string
	for i := 1; i <= 22; i++ {
		switch {
		case i == 4: // with the next
		case slices.Contains(s.damaged, uint64(i)):
			want = append(want, fmt.Sprintf("resync 1 %d", i))
		case i == 22:
			want = append(want, "lobby 22 carol 22")
		default:
			want = append(want, fmt.Sprintf("lobby %d ann %d", i, i))
		}
	}
	got := slices.DeleteFunc(r.given, func(line string) bool { return strings.Contains(line, "presence") })
	if !slices.Equal(got, want) {
		t.Errorf("given\n%q, want\n%q", got, want)
	}
}

// Damage in the entries of another writer does not delay the others.
func TestDamagedEntriesOfAnotherWriterHoldNobodyUp(t *testing.T) {
	s := &rotten{memory.New(1 << 20), []uint64{1, 2, 4}}
	d := newDispatcher(t, s, Options{})
	r := newReader(t)
	sub := join(t, d, r, "lobby", "bob", Start{})
	for i := 1; i <= 4; i++ {
		storetest.Append(t, s.Store, storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i), fmt.Sprint(i)))
	}
	d.Submit([]Send{send(t, sub, "bob", "b-1", "mine")})
	r.until(sub, 5)
	got := slices.DeleteFunc(r.given, func(line string) bool { return strings.Contains(line, "presence") })
	if want := []string{"resync 1 2", "lobby 3 ann 3", "resync 1 4", "ack 5 b-1"}; !slices.Equal(got, want) {
		t.Errorf("given %q, want %q", got, want)
	}
}

func TestHistoryPassesDamagedEntries(t *testing.T) {
	s := &rotten{memory.New(1 << 20), []uint64{1, 4, 5, 9, 20}}
	for i := 1; i <= 20; i++ {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i), fmt.Sprint(i)))
	}
	d := newDispatcher(t, s, Options{})
	lobby := storetest.RoomName(t, "lobby")
	for _, c := range []struct {
		page        store.Page
		first, last uint64
		more        bool
		damaged     uint64
	}{
		{store.Page{Limit: 100}, 2, 3, true, 0},
		{store.Page{After: 3, Limit: 100}, 6, 8, true, 0},
		{store.Page{After: 8, Limit: 100}, 10, 19, true, 0},
		{store.Page{After: 19, Limit: 100}, 0, 0, false, 20},
		{store.Page{After: 3, Before: 6, Limit: 100}, 0, 0, false, 4},
		{store.Page{Last: true, Limit: 100}, 10, 19, true, 0},
		{store.Page{Last: true, Before: 10, Limit: 100}, 6, 8, true, 0},
		{store.Page{Last: true, Before: 6, Limit: 1}, 3, 3, true, 0},
		{store.Page{Last: true, Before: 2, Limit: 100}, 0, 0, false, 1},
	} {
		found, err := d.History(t.Context(), lobby, c.page)
		if bad, ok := errors.AsType[*store.DamagedError](err); ok != (c.damaged != 0) || ok && bad.Seq != c.damaged {
			t.Errorf("%+v: %v, want damage at %d", c.page, err, c.damaged)
			continue
		}
		if c.damaged != 0 {
			continue
		}
		if n := len(found.Entries); n == 0 || found.Entries[0].Seq != c.first || found.Entries[n-1].Seq != c.last || found.More != c.more {
			t.Errorf("%+v: %+v, want %d to %d and more %v", c.page, found, c.first, c.last, c.more)
		}
	}
}
