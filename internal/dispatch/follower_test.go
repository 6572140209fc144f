package dispatch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// fullFormat shows everything that readers fold messages with: one line a frame.
type fullFormat struct{ textFormat }

func (*fullFormat) AppendEntry(dst []byte, room string, e *store.Entry) []byte {
	var edited uint64
	if e.State != nil {
		edited = e.State.Edited.Seq
	}
	return fmt.Appendf(dst, "%s %d %d %d %q %q %d %t\n", room, e.Seq, e.Kind, e.Target, e.Username, e.Content, edited, e.IsDeleted())
}

// full are formats of equal frames that share no tail.
var full = [2]Format{&fullFormat{textFormat{"full"}}, &fullFormat{textFormat{"other"}}}

// shown is an entry as a fullFormat shows it.
type shown struct {
	store.Entry
	edited  uint64
	deleted bool
}

func parseShown(room, line string) (e shown, err error) {
	_, err = fmt.Sscanf(line, room+" %d %d %d %q %q %d %t", &e.Seq, &e.Kind, &e.Target, &e.Username, &e.Content, &e.edited, &e.deleted)
	return e, err
}

// follower is a subscription of a property test and the entry it must be given
// next. It folds what it is given, as a client does.
type follower struct {
	*reader
	s        *Subscription
	room     string
	user     string
	from     uint64                 // the first entry that it may see; 0: all
	next     uint64                 // the entry that must come next
	own      map[string]kaban.Draft // sent through this subscription, without repeats, by their ids
	resynced bool

	messages map[uint64]*known // by seq
}

// known is what a follower knows of a message.
type known struct {
	store.Entry
	asOf uint64 // changes up to here are in it
}

// check consumes everything given and compares it with the log.
func (f *follower) check(t *rapid.T, log []store.Entry) {
	for _, given := range f.given {
		f.checkOne(t, log, given)
	}
	f.given = nil
}

func (f *follower) checkOne(t *rapid.T, log []store.Entry, given string) {
	var seq, oldest, head uint64
	if n, _ := fmt.Sscanf(given, "resync %d %d", &oldest, &head); n == 2 {
		if f.next >= oldest {
			t.Fatalf("%s got a resync, but the log has %d to %d and it needs %d", f.user, oldest, head, f.next)
		}
		f.next, f.resynced = head+1, true
		clear(f.messages) // what has become of them is unknown
		return
	}
	id, isAck := "", false
	if n, _ := fmt.Sscanf(given, "duplicate %d %s", &seq, &id); n == 2 {
		f.checkDuplicate(t, log, seq, id)
		return
	}
	var e shown
	if n, _ := fmt.Sscanf(given, "ack %d %s", &seq, &id); n == 2 {
		isAck = true
	} else {
		var err error
		if e, err = parseShown(f.room, given); err != nil {
			t.Fatalf("%s got %q: %v", f.user, given, err)
		}
		seq = e.Seq
	}
	if isAck && f.resynced && seq < f.next { // the log has it, the cursor jumped over it
		return
	}
	if seq != f.next {
		t.Fatalf("%s got %q, want number %d", f.user, given, f.next)
	}
	f.next++
	kept := &log[seq-1]
	_, isOwn := f.own[kept.ID]
	switch isOwn = isOwn && kept.Username == f.user; {
	case isOwn != isAck || isAck && id != kept.ID:
		t.Fatalf("%s got %q, the log has %+v", f.user, given, kept)
	case isAck:
		f.fold(kept)
	case f.hides(kept):
		if want := (shown{Entry: store.Entry{Seq: seq}}); e != want {
			t.Fatalf("%s, from %d, got %q for %+v", f.user, f.from, given, kept)
		}
	default:
		f.checkShown(t, log, &e)
		f.foldShown(&e)
	}
}

// checkDuplicate checks the receipt of a repeat, or of a change that changes nothing.
func (f *follower) checkDuplicate(t *rapid.T, log []store.Entry, seq uint64, id string) {
	e := &log[seq-1]
	isRepeat := e.ID == id && e.Username == f.user
	kind := f.own[id].Kind
	if !isRepeat && kind != kaban.KindReact && kind != kaban.KindPin || seq >= f.next {
		t.Fatalf("%s got a duplicate of %s at %d before %d; the log has %v there", f.user, id, seq, f.next, e)
	}
}

// hides reports whether a follower may not see an entry of the log.
func (f *follower) hides(e *store.Entry) bool { return e.Kind.IsChange() && e.Target < f.from }

// checkShown compares a frame with the log. A message may be of any version, and an edit
// without its content if there is a later version.
func (f *follower) checkShown(t *rapid.T, log []store.Entry, e *shown) {
	kept := &log[e.Seq-1]
	want := kept.Content
	switch {
	case e.edited > 0 && !e.deleted:
		version := &log[e.edited-1]
		if want = version.Content; version.Kind != kaban.KindEdit || version.Target != e.Seq {
			t.Fatalf("%s got %+v, edited by %+v", f.user, e, version)
		}
	case e.deleted, e.Kind == kaban.KindEdit && e.Content == "":
		want = ""
	}
	if e.Kind != kept.Kind || e.Target != kept.Target || e.Username != kept.Username || e.Content != want {
		t.Fatalf("%s got %+v, the log has %+v, want the content %q", f.user, e, kept, want)
	}
}

// foldShown is fold for a frame.
func (f *follower) foldShown(e *shown) {
	if e.Kind == kaban.KindMessage && (e.edited > 0 || e.deleted) {
		e.State = &store.State{Edited: store.Change{Seq: e.edited}}
		if e.deleted {
			e.State.Deleted = store.Change{Seq: e.Seq} // it does not say when
		}
	}
	e.Author = kaban.Visitor(storetest.Username(f.t, e.Username)).ID()
	f.fold(&e.Entry)
}

// fold notes a message, or changes one that is known.
func (f *follower) fold(e *store.Entry) {
	if m := f.messages[e.Target]; m != nil && store.HasTarget(e.Kind, e.Target) && e.Seq > m.asOf {
		m.Apply(e)
	}
	if e.Kind == kaban.KindMessage && f.messages[e.Seq] == nil {
		f.messages[e.Seq] = &known{Entry: *e}
	}
}

// forget begins anew with a page of the history.
func (f *follower) forget(t *rapid.T, s *recorder, d *Dispatcher) {
	f.messages = make(map[uint64]*known)
	page := store.Page{Last: true, Limit: rapid.SampledFrom([]int{1, 10, 500}).Draw(t, "page"), After: f.from - min(f.from, 1)}
	found, err := d.History(context.Background(), storetest.RoomName(f.t, f.room), page)
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	checkPage(t, s.entries(f.room), &found)
	for _, e := range found.Entries {
		if e.Seq < f.from {
			t.Fatalf("%s, from %d, got %+v", f.user, f.from, e)
		}
		if e.Kind == kaban.KindMessage {
			f.messages[e.Seq] = &known{e, found.AsOf}
		}
	}
}

// checkPage compares a page of history with the log.
func checkPage(t *rapid.T, log []store.Entry, found *Found) {
	if found.AsOf > uint64(len(log)) {
		t.Fatalf("a page is folded up to %d, the log has %d", found.AsOf, len(log))
	}
	want := foldAll(log[:found.AsOf])
	next := found.First
	for i := range found.Entries {
		e := &found.Entries[i]
		for ; next < e.Seq; next++ {
			if !log[next-1].Kind.IsChange() {
				t.Fatalf("a page from %d to %d has no %+v", found.First, found.Last, log[next-1])
			}
		}
		next++
		if w := want[e.Seq]; w != nil && !reflect.DeepEqual(e, w) || w == nil && (e.ID != log[e.Seq-1].ID || e.Kind.IsChange()) {
			t.Fatalf("a page as of %d has %+v with %+v, want %+v", found.AsOf, e, e.State, w)
		}
	}
	for ; next > 0 && next <= found.Last; next++ {
		if !log[next-1].Kind.IsChange() {
			t.Fatalf("a page from %d to %d has no %+v", found.First, found.Last, log[next-1])
		}
	}
}

// foldAll returns the messages of a log as all its entries have made them.
func foldAll(log []store.Entry) map[uint64]*store.Entry {
	messages := make(map[uint64]*store.Entry)
	for i := range log {
		e := log[i]
		if m := messages[e.Target]; m != nil && store.HasTarget(e.Kind, e.Target) {
			m.Apply(&e)
		}
		if e.Kind == kaban.KindMessage {
			messages[e.Seq] = &e
		}
	}
	return messages
}

// checkFold compares what the follower knows with the whole log. The store may have
// forgotten a message that the follower knows, and the text of its edits with it.
func (f *follower) checkFold(t *rapid.T, s *recorder, log []store.Entry) {
	state, err := s.Room(context.Background(), storetest.RoomName(f.t, f.room))
	if err != nil {
		t.Fatal(err)
	}
	want := foldAll(log)
	for seq, m := range f.messages {
		if seq < state.Oldest {
			continue
		}
		if got, want := gist(&m.Entry), gist(want[seq]); got != want {
			t.Fatalf("%s knows message %d, as of %d, as\n%s, want\n%s", f.user, seq, m.asOf, got, want)
		}
	}
}

// gist is what people see of a message.
func gist(e *store.Entry) string {
	s := e.State
	if s == nil {
		s = new(store.State)
	}
	if e.IsDeleted() {
		return fmt.Sprintf("deleted with %q, pinned %v, reactions %d, replies %d", e.Content, s.Pinned.Seq, len(s.Reactions), s.Replies)
	}
	text := fmt.Sprintf("%q edited %d, pinned %t, replies %d", e.Content, s.Edited.Seq, s.Pinned.Seq > 0, s.Replies)
	for _, r := range s.Reactions {
		text += " " + r.Emoji
		for _, by := range r.People {
			text += " " + by.Author
		}
	}
	return text
}

// drawEntry draws what an entry of a property test holds, in a log with a head. Most are
// messages or about one.
func drawEntry(t *rapid.T, d *kaban.Draft, head uint64) {
	d.Kind = rapid.SampledFrom([]kaban.Kind{
		kaban.KindMessage, kaban.KindMessage, kaban.KindMessage, unknownKind,
		kaban.KindEdit, kaban.KindEdit, kaban.KindDelete, kaban.KindReact, kaban.KindReact, kaban.KindPin,
	}).Draw(t, "kind")
	if head == 0 && d.Kind != unknownKind {
		d.Kind = kaban.KindMessage
	}
	d.Body = d.ID.String() + strings.Repeat("x", rapid.SampledFrom([]int{1, 1000}).Draw(t, "length"))
	isReply := d.Kind == kaban.KindMessage && head > 0 && rapid.IntRange(0, 3).Draw(t, "reply") == 0
	if d.Kind.IsChange() || isReply {
		back := rapid.SampledFrom([]uint64{0, 1, 5, 50, 1000}).Draw(t, "back")
		d.Target = rapid.Uint64Range(head-min(back, head-1), head).Draw(t, "target")
	}
	on := rapid.IntRange(0, 2).Draw(t, "on") > 0
	switch d.Kind {
	case kaban.KindEdit:
		d.Base = rapid.SampledFrom([]uint64{0, 0, d.Target}).Draw(t, "base")
	case kaban.KindReact:
		d.Body = kaban.Switch(on, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "emoji"))
	case kaban.KindPin:
		d.Body = kaban.Switch(on, "")
	}
}

// isAbout reports whether a write was refused because of its target.
func isAbout(err error) bool {
	return errors.Is(err, store.ErrNoTarget) || errors.Is(err, store.ErrGone) || errors.Is(err, store.ErrEditConflict) || errors.Is(err, store.ErrTooManyReactions)
}

// drawOptions draws tails of all sizes.
func drawOptions(t *rapid.T) Options {
	return Options{
		TailBytes:     rapid.SampledFrom([]int{1, 8 << 10, 256 << 10}).Draw(t, "tail"),
		TailBudget:    rapid.SampledFrom([]int64{1, 8 << 10, 64 << 20}).Draw(t, "budget"),
		PageEntries:   rapid.SampledFrom([]int{1, 7, 500}).Draw(t, "page"),
		PresenceDelay: time.Hour,
	}
}

// drawSends draws a batch that a follower sends.
func (f *follower) drawSends(t *rapid.T, nextID func() string, head uint64) []Send {
	batch := make([]Send, rapid.IntRange(1, 60).Draw(t, "sends"))
	for i := range batch {
		id := nextID()
		batch[i] = send(f.t, f.s, f.user, id, "x")
		drawEntry(t, &batch[i].Draft, head+uint64(i))
		f.own[id] = batch[i].Draft
	}
	return batch
}

// repeatOf returns a repeat of a late entry of the follower's user, or nil.
func (f *follower) repeatOf(log []store.Entry) []Send {
	for _, e := range log[len(log)-min(len(log), 20):] {
		if e.Username == f.user {
			again := send(f.t, f.s, f.user, e.ID, e.Content)
			again.Draft.Kind, again.Draft.Target = e.Kind, e.Target
			return []Send{again}
		}
	}
	return nil
}

// taking reads as a test draws it, and reports whether the follower must begin anew where
// it is: a part of an entry was given that has changed since.
func (f *follower) taking(t *rapid.T) (again bool) {
	f.s.Rise()
	if rapid.Bool().Draw(t, "all") {
		f.take(f.s, rapid.SampledFrom([]int{1, 100, 5000, 1 << 20}).Draw(t, "bytes"))
	} else { // and no more for now
		f.sip(f.s, rapid.SampledFrom([]int{1, 30, 1500}).Draw(t, "bytes"))
		f.s.Rest()
	}
	return f.changed
}

// TestTheFoldOfALog has the helpers of the property tests tell apart what differs.
func TestTheFoldOfALog(t *testing.T) {
	log := []store.Entry{
		{Seq: 1, Kind: kaban.KindMessage, Content: "one"},
		{Seq: 2, Kind: kaban.KindEdit, Target: 1, Content: "two"},
		{Seq: 3, Kind: kaban.KindMessage, Target: 1, Content: "reply"},
		{Seq: 4, Kind: kaban.KindReact, Target: 1, Content: "+a", Author: "visitor:ann"},
		{Seq: 5, Kind: kaban.KindPin, Target: 1, Content: "+"},
		{Seq: 6, Kind: kaban.KindReact, Target: 3, Content: "+b", Author: "visitor:ann"},
		{Seq: 7, Kind: kaban.KindDelete, Target: 1},
	}
	seen := make(map[string]uint64)
	for n := 1; n <= len(log); n++ {
		all := foldAll(log[:n])
		text := ""
		for _, seq := range []uint64{1, 3} {
			if m := all[seq]; m != nil {
				text += gist(m) + "; "
			}
		}
		if before := seen[text]; before > 0 {
			t.Errorf("the fold up to %d is that up to %d: %s", n, before, text)
		}
		seen[text] = uint64(n)
	}
	if n := len(foldAll(log)); n != 2 {
		t.Errorf("%d messages", n)
	}
}
