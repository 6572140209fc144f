package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// TestTargetsAreBounded wants targets to forget what nobody has asked for lately, and to
// change what they still have.
func TestTargetsAreBounded(t *testing.T) {
	var targets targets
	text := strings.Repeat("x", 10_000)
	asked := target{1, 1}
	most := targetBytes / len(text)
	for i := range uint64(1000) {
		at := target{1, i + 1}
		targets.put(at, &store.Entry{Seq: at.seq, Kind: kaban.KindMessage, Content: text})
		targets.apply(asked, &store.Entry{Seq: 2000 + i, Kind: kaban.KindMessage, Target: 1})
		if got := targets.get(asked); got == nil || got.State == nil || got.State.Replies != i+1 {
			t.Fatalf("after %d replies the message is %+v", i+1, got)
		}
		if n := len(targets.known); n > most || n != targets.order.Len() || targets.bytes > targetBytes {
			t.Fatalf("%d messages of %d bytes are remembered, want %d at most", n, len(text), most)
		}
	}
	if targets.get(target{1, 2}) != nil {
		t.Error("a message that nobody asked for is remembered")
	}
	if targets.clear(); targets.get(asked) != nil {
		t.Error("a message is remembered that was forgotten")
	}
}

// TestReactionsCountAsMemory wants many people on one message to be a part of its size.
func TestReactionsCountAsMemory(t *testing.T) {
	var targets targets
	crowd := store.Reaction{Emoji: "👍", People: make([]store.Reactor, 1000)}
	for i := range uint64(1000) {
		targets.put(target{1, i}, &store.Entry{Seq: i, State: &store.State{Reactions: []store.Reaction{crowd}}})
	}
	if n, most := len(targets.known), targetBytes/(len(crowd.People)*reactorSize); n > most {
		t.Errorf("%d messages with %d reactions each are remembered, want %d at most", n, len(crowd.People), most)
	}
}

// aboutAll returns a batch with reactions to all messages of a room up to a seq.
func aboutAll(t *testing.T, to uint64, author string, on bool, emoji string) (batch []store.Write) {
	for seq := range to {
		d := storetest.Draft(t, "lobby", author, fmt.Sprintf("%s-%t-%x-%d", author, on, emoji, seq+1), "x")
		d.Kind, d.Target, d.Body = kaban.KindReact, seq+1, kaban.Switch(on, emoji)
		batch = append(batch, store.Write{Draft: d})
	}
	return batch
}

// TestReactionsInOneBatch reacts to many messages that the store does not remember in a
// batch, of which some are merged, changed, deleted or no messages. A store in memory gets
// the same.
func TestReactionsInOneBatch(t *testing.T) {
	w := &twins{t: t, dir: t.TempDir(), memory: memory.New(1 << 20)}
	w.store = still(t, w.dir, Options{mergeStep: 1})
	defer func() { closeStore(t, w.store) }()
	const messages = 20
	var drafts []store.Write
	for i := range messages {
		drafts = append(drafts, store.Write{Draft: storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", i), fmt.Sprint("text ", i))})
	}
	drafts[3].Kind, drafts[3].Body = kaban.KindTopic, "a topic"
	w.both(drafts)
	gone := storetest.Draft(t, "lobby", "ann", "gone", "x")
	gone.Kind, gone.Target, gone.Body = kaban.KindDelete, 6, ""
	edited := storetest.Draft(t, "lobby", "ann", "edited", "another text")
	edited.Kind, edited.Target = kaban.KindEdit, 7
	w.both([]store.Write{{Draft: gone}, {Draft: edited}})
	authors := []string{"ann", "ben", "cleo", "dan"}
	for round, step := range []func(){
		func() { merge(t, w.store, messages+2) },
		func() { merge(t, w.store, messages/2) },
		func() {},
		func() { merge(t, w.store, 1000) },
	} {
		step()
		closeStore(t, w.store) // then it remembers none
		w.store = still(t, w.dir, Options{mergeStep: 1})
		w.both(aboutAll(t, messages, authors[round], true, "👍"))
		if n := len(w.store.targets.known); n < messages/2 {
			t.Errorf("round %d: %d messages are remembered", round, n)
		}
		w.both(aboutAll(t, messages, authors[round], true, "🎉"))
		w.both(aboutAll(t, messages, authors[round], false, "👍"))
		if round > 0 {
			w.both(aboutAll(t, messages, authors[round-1], false, "🎉"))
		}
		w.same()
	}
	merge(t, w.store, 1000)
	for i, on := range []bool{false, true, false} { // of rows in the table
		batch := aboutAll(t, messages, "dan", on, "🎉")
		for j := range batch {
			batch[j].ID = storetest.Draft(t, "lobby", "dan", fmt.Sprint("again-", i, "-", j), "x").ID
		}
		w.both(batch)
	}
	merge(t, w.store, 1000)
	w.same()
}

// TestReactionsBesideDamage wants a batch with a reaction to a message that cannot be read to
// react to the others.
func TestReactionsBesideDamage(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 8)...)
	storetest.Append(t, s, draftsOf(aboutAll(t, 8, "ann", true, "👍"))...)
	mergeNow(t, s)
	closeStore(t, s)
	corrupt(t, filepath.Join(dir, databaseName),
		"UPDATE entries SET content = 'massage' WHERE place & 0xFFFFFFFFFF = 2",
		"UPDATE reactions SET sum = sum + 1 WHERE place & 0xFFFFFFFFFF = 5")
	s = open(t, dir, Options{})
	for i, got := range storetest.Append(t, s, draftsOf(aboutAll(t, 8, "ben", true, "👍"))...) {
		want := error(nil)
		if seq := i + 1; seq == 2 || seq == 5 {
			want = store.ErrDamaged
		}
		if !errors.Is(got.Err, want) {
			t.Errorf("a reaction to %d: %v, want %v", i+1, got.Err, want)
		}
	}
}

func draftsOf(batch []store.Write) (drafts []kaban.Draft) {
	for i := range batch {
		drafts = append(drafts, batch[i].Draft)
	}
	return drafts
}

// both appends a batch to both stores and compares the results.
func (w *twins) both(batch []store.Write) {
	w.t.Helper()
	got, want := make([]store.Result, len(batch)), make([]store.Result, len(batch))
	if err := errors.Join(w.store.Append(w.t.Context(), batch, got), w.memory.Append(w.t.Context(), batch, want)); err != nil {
		w.t.Fatal(err)
	}
	for i := range batch {
		if got[i].Seq != want[i].Seq || got[i].Duplicate != want[i].Duplicate || !errors.Is(got[i].Err, want[i].Err) {
			w.t.Fatalf("%+v: %+v, want %+v", batch[i].Draft, got[i], want[i])
		}
	}
}

// same compares the newest page of the lobby.
func (w *twins) same() {
	w.t.Helper()
	page := store.Page{Last: true, Limit: 100}
	got, err := w.store.History(w.t.Context(), storetest.RoomName(w.t, "lobby"), page)
	want, err2 := w.memory.History(w.t.Context(), storetest.RoomName(w.t, "lobby"), page)
	if err := errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, anyTime); diff != "" {
		w.t.Errorf("the page differs:\n%s", diff)
	}
}
