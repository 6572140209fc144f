package memory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// change returns the draft of an entry about a message of the lobby.
func change(t *testing.T, kind kaban.Kind, id string, target uint64, body string) kaban.Draft {
	t.Helper()
	d := storetest.Draft(t, "lobby", "bob", id, "x")
	d.Kind, d.Target, d.Body = kind, target, body
	return d
}

// A message that is forgotten is no target, and its changes stay, without texts.
func TestWindowForgetsMessagesBeforeTheirChanges(t *testing.T) {
	s := New(6 * entryOverhead)
	results := storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", "m", "hello"),
		change(t, kaban.KindEdit, "e1", 1, "Hello"), change(t, kaban.KindReact, "r", 1, kaban.Switch(true, "👍")), change(t, kaban.KindEdit, "e2", 1, "Hello!"))
	if results[3].Seq != 4 {
		t.Fatalf("the changes are %+v", results)
	}
	lobby := storetest.RoomName(t, "lobby")
	for n := 0; ; n++ {
		room, err := s.Room(t.Context(), lobby)
		if err != nil || n > 20 {
			t.Fatalf("the message is not forgotten: %+v, %v", room, err)
		}
		if room.Oldest > 1 {
			break
		}
		storetest.Append(t, s, change(t, kaban.KindTopic, fmt.Sprint("t", n), 0, "x"))
	}
	for _, kind := range []kaban.Kind{kaban.KindMessage, kaban.KindEdit, kaban.KindDelete, kaban.KindReact, kaban.KindPin} {
		if got := storetest.Append(t, s, change(t, kind, "id", 1, "+x"))[0]; !errors.Is(got.Err, store.ErrNoTarget) {
			t.Errorf("kind %d of a forgotten message: %+v, want %v", kind, got, store.ErrNoTarget)
		}
	}
	room, _ := s.Room(t.Context(), lobby)
	h, err := s.History(t.Context(), lobby, store.Page{Limit: 100})
	if err != nil || h.First != room.Oldest || h.Last != room.Head || len(h.Entries) == 0 {
		t.Errorf("the history is %+v, %v; want %d to %d", h, err, room.Oldest, room.Head)
	}
	entries, err := s.Read(t.Context(), lobby, store.Page{Limit: 100})
	if err != nil || len(entries) == 0 || entries[0].Seq != room.Oldest {
		t.Fatalf("Read = %+v, %v", entries, err)
	}
	for _, e := range entries {
		if want := map[uint64]string{2: "", 3: "+👍", 4: ""}; e.Seq <= 4 && e.Content != want[e.Seq] {
			t.Errorf("the change %d is %q, want %q", e.Seq, e.Content, want[e.Seq])
		}
	}
}

// Whatever changes, the size of the window is that of what it has.
func TestWindowCountsStates(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := New(100 * (entryOverhead + 100))
	lobby := storetest.RoomName(t, "lobby")
	kinds := []kaban.Kind{kaban.KindMessage, kaban.KindMessage, kaban.KindEdit, kaban.KindEdit, kaban.KindReact, kaban.KindReact, kaban.KindPin, kaban.KindDelete}
	reacted := false
	for n := range 3000 {
		room, err := s.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		kind := kinds[random.IntN(len(kinds))]
		target := room.Head - min(room.Head, random.Uint64N(120))
		if kind == kaban.KindMessage && random.IntN(2) == 0 {
			target = 0
		}
		body := kaban.Switch(random.IntN(3) > 0, []string{"", "👍", "a longer text"}[random.IntN(3)])
		d := change(t, kind, fmt.Sprint("id-", n), target, body)
		d.Author = kaban.Account(fmt.Sprint(random.IntN(5)), d.Author.Name())
		storetest.Append(t, s, d)
		bytes := 0
		for position := s.log.first; position < s.log.next; position++ {
			e := &s.log.at(position).Entry
			bytes += cost(e)
			for _, k := range s.log.at(position).noops {
				bytes += noopCost(k)
			}
			reacted = reacted || e.State != nil && len(e.State.Reactions) > 1
		}
		if s.bytes != bytes || bytes > s.window {
			t.Fatalf("after %+v the window counts %d bytes, and has %d of %d", d, s.bytes, bytes, s.window)
		}
	}
	if s.log.first == 0 || !reacted {
		t.Errorf("%d entries were forgotten, reactions: %t", s.log.first, reacted)
	}
}

// Changes that make no difference do not outgrow the window, even if it has only their message.
func TestNoopsDoNotOutgrowTheWindow(t *testing.T) {
	s := New(20 * entryOverhead)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "id", "hello"))
	const all = 1000
	for n := range all {
		if got := storetest.Append(t, s, change(t, kaban.KindPin, fmt.Sprint("id-", n), 1, kaban.Switch(false, "")))[0]; !got.Duplicate || got.Seq != 1 {
			t.Fatalf("change %d: %+v, want a duplicate of 1", n, got)
		}
		if s.bytes > s.window || len(s.noops) != len(s.log.at(s.log.first).noops) {
			t.Fatalf("after %d changes there are %d bytes of %d, and %d ids of %d", n+1, s.bytes, s.window, len(s.noops), len(s.log.at(s.log.first).noops))
		}
	}
	last := change(t, kaban.KindPin, fmt.Sprint("id-", all-1), 1, kaban.Switch(false, ""))
	if len(s.noops) == 0 || len(s.noops) == all {
		t.Errorf("%d ids are kept of %d", len(s.noops), all)
	}
	storetest.Append(t, s, change(t, kaban.KindPin, "on", 1, kaban.Switch(true, "")))
	if got := storetest.Append(t, s, last)[0]; !got.Duplicate || got.Seq != 1 {
		t.Errorf("the last one again: %+v, want a duplicate of 1", got)
	}
}
