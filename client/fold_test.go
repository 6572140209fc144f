package client_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kaban"
	"kaban/client"
	"kaban/internal/frame"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/wire"
)

// past is a room that a property makes, in a store that folds by itself.
type past struct {
	t      *rapid.T
	store  *memory.Store
	room   kaban.RoomName
	people []kaban.Identity
	reader kaban.Identity
	seqs   []uint64 // of the messages
	n      int
}

func newPast(t *rapid.T) *past {
	p := &past{t: t, store: memory.New(0)}
	p.room, _ = kaban.ParseRoomName("lobby")
	for _, name := range []string{"ann", "ben", "cid", "dan"} {
		username, err := kaban.ParseUsername(name)
		if err != nil {
			t.Fatal(err)
		}
		p.people = append(p.people, kaban.Visitor(username))
	}
	p.reader = p.people[0]
	return p
}

// append stores something at random, if the store lets it.
func (p *past) append() {
	p.n++
	id, err := kaban.ParseMessageID(fmt.Sprint("id-", p.n))
	if err != nil {
		p.t.Fatal(err)
	}
	d := kaban.Draft{Author: rapid.SampledFrom(p.people).Draw(p.t, "author"), Room: p.room, ID: id, Kind: kaban.KindMessage, Body: fmt.Sprint("text ", p.n)}
	if len(p.seqs) > 0 {
		d.Kind = kaban.Kind(rapid.IntRange(1, 5).Draw(p.t, "kind"))
		d.Target = rapid.SampledFrom(p.seqs).Draw(p.t, "target")
	}
	switch d.Kind {
	case kaban.KindMessage:
		if rapid.Bool().Draw(p.t, "no reply") {
			d.Target = 0
		}
	case kaban.KindDelete:
		if rapid.IntRange(0, 3).Draw(p.t, "keep") > 0 { // what is deleted tests no more
			return
		}
	case kaban.KindReact:
		d.Body = kaban.Switch(rapid.IntRange(0, 2).Draw(p.t, "on") > 0, rapid.SampledFrom([]string{"👍", "🎉", "❤️"}).Draw(p.t, "emoji"))
	case kaban.KindPin:
		d.Body = kaban.Switch(rapid.Bool().Draw(p.t, "on"), "")
	}
	var results [1]store.Result
	if err := p.store.Append(context.Background(), []store.Write{{Draft: d}}, results[:]); err != nil {
		p.t.Fatal(err)
	}
	if d.Kind == kaban.KindMessage && results[0].Err == nil {
		p.seqs = append(p.seqs, results[0].Seq)
	}
}

// log returns the entries after a seq as frames have them now.
func (p *past) log(after uint64) (entries []client.Entry) {
	all, err := p.store.Read(context.Background(), p.room, store.Page{After: after, Limit: 10_000})
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range all {
		var e wire.Event
		r := wire.NewReader(bytes.NewReader(frame.AppendEntry(nil, "lobby", &all[i])))
		if err := r.ReadEvent(&e); err != nil {
			p.t.Fatal(err)
		}
		entry := client.Entry{Seq: e.Seq, Change: e.Change}
		if e.Type == wire.TypeMessage {
			entry.Message = new(e.Message())
		}
		entries = append(entries, entry)
	}
	return entries
}

// page returns all of the history as it is now.
func (p *past) page() *client.HistoryPage {
	h, err := p.store.History(context.Background(), p.room, store.Page{Limit: 10_000})
	if err != nil {
		p.t.Fatal(err)
	}
	answer := wire.Event{AsOf: h.AsOf, First: h.First, Last: h.Last}
	frame.Page(&answer, h.Entries, p.reader.ID())
	return &client.HistoryPage{Entries: answer.Entries, First: h.First, Last: h.Last, AsOf: h.AsOf}
}

// check compares what a fold has with the history.
func (p *past) check(what string, f *client.Fold) {
	for _, e := range p.page().Entries {
		got, _ := f.Message(e.Seq)
		for _, m := range []*wire.Message{&got, e.Message} { // a Fold does not know which was first
			m.Reactions = slices.Clone(m.Reactions)
			for i := range m.Reactions {
				m.Reactions[i].Usernames = slices.Sorted(slices.Values(m.Reactions[i].Usernames))
			}
			slices.SortFunc(m.Reactions, func(a, b wire.Reaction) int { return cmp.Compare(a.Emoji, b.Emoji) })
		}
		if diff := gocmp.Diff(*e.Message, got, cmpopts.EquateEmpty(), gocmp.Comparer(time.Time.Equal)); diff != "" {
			p.t.Fatalf("%s: message %d (-want +got):\n%s", what, e.Seq, diff)
		}
	}
}

// A reader that starts anywhere, gets the log in pieces of any age, pages of the history
// at any time, and some entries twice or too early, ends with the messages that the
// history has.
func TestFoldsEndAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPast(t)
		live := &client.Fold{Username: p.reader.Name().String()}
		paged := &client.Fold{Username: p.reader.Name().String()}
		var fed, early uint64 // the live one's cursor, the paged one's
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			default:
				p.append()
			case 7: // the log goes on
				for _, e := range p.log(fed) {
					live.Add(e)
					fed = e.Seq
				}
			case 8: // a page that may be ahead of the log or behind it
				page := p.page()
				if rapid.Bool().Draw(t, "behind") {
					p.append()
					for _, e := range p.log(early) {
						if e.Change != nil || rapid.Bool().Draw(t, "messages") {
							paged.Add(e)
						}
						early = e.Seq
					}
				}
				paged.AddPage(page)
			case 9: // what others say comes before or after own entries
				entries := p.log(fed)
				for i := 1; i < len(entries); i += 2 {
					if rapid.Bool().Draw(t, "early") && entries[i].Message == nil && entries[i-1].Message == nil {
						entries[i-1], entries[i] = entries[i], entries[i-1]
					}
				}
				for _, e := range entries {
					live.Add(e)
					if rapid.Bool().Draw(t, "twice") {
						live.Add(e)
					}
					fed = max(fed, e.Seq)
				}
			}
		}
		page := p.page()
		p.append()
		for _, e := range p.log(fed) {
			live.Add(e)
		}
		paged.AddPage(page)
		for _, e := range p.log(early) {
			paged.Add(e)
		}
		p.check("the log", live)
		p.check("pages and the log", paged)
	})
}

// messageOf is a message as a frame of the log or, with asOf, of a page.
func messageOf(seq, asOf uint64, reactions ...wire.Reaction) client.Entry {
	return client.Entry{Seq: seq, AsOf: asOf, Message: &wire.Message{Seq: seq, Username: "ben", Content: "old", Reactions: reactions}}
}

func changeOf(seq uint64, c wire.Change) client.Entry {
	c.Seq = seq
	return client.Entry{Seq: seq, Change: &c}
}

func react(seq, target uint64, username, emoji string, on bool) client.Entry {
	return changeOf(seq, wire.Change{Type: wire.TypeReact, Target: target, Username: username, Emoji: emoji, On: on})
}

// Of more people than a page names, the fold knows the number and whether the reader is
// among them.
func TestFoldOfManyReactors(t *testing.T) {
	f := client.Fold{Username: "ann"}
	five := []string{"a", "b", "c", "d", "e"}
	f.Add(messageOf(1, 10, wire.Reaction{Emoji: "👍", Count: 7, Me: true, Usernames: slices.Clone(five)}))
	steps := []struct {
		entry client.Entry
		want  wire.Reaction
	}{
		{react(10, 1, "x", "👍", true), wire.Reaction{Emoji: "👍", Count: 7, Me: true, Usernames: five}}, // in the page already
		{react(11, 1, "x", "👍", true), wire.Reaction{Emoji: "👍", Count: 8, Me: true, Usernames: five}},
		{react(11, 1, "x", "👍", true), wire.Reaction{Emoji: "👍", Count: 8, Me: true, Usernames: five}},
		{react(12, 1, "ann", "👍", false), wire.Reaction{Emoji: "👍", Count: 7, Usernames: five}},
		{react(13, 1, "b", "👍", false), wire.Reaction{Emoji: "👍", Count: 6, Usernames: []string{"a", "c", "d", "e"}}},
		{react(14, 1, "b", "👍", true), wire.Reaction{Emoji: "👍", Count: 7, Usernames: []string{"a", "c", "d", "e"}}}, // the fifth is unknown
		{react(15, 1, "ann", "👍", true), wire.Reaction{Emoji: "👍", Count: 8, Me: true, Usernames: []string{"a", "c", "d", "e"}}},
	}
	before, _ := f.Message(1)
	for _, s := range steps {
		f.Add(s.entry)
		got, ok := f.Message(1)
		if diff := gocmp.Diff([]wire.Reaction{s.want}, got.Reactions); diff != "" || !ok {
			t.Errorf("after %d (-want +got):\n%s", s.entry.Seq, diff)
		}
	}
	if diff := gocmp.Diff([]wire.Reaction{{Emoji: "👍", Count: 7, Me: true, Usernames: five}}, before.Reactions); diff != "" {
		t.Errorf("a message that was given away has changed (-want +got):\n%s", diff)
	}
}

// Entries of one person that come in the wrong order end as in the right one.
func TestFoldOfLateChanges(t *testing.T) {
	edit := func(seq uint64, content string) client.Entry {
		return changeOf(seq, wire.Change{Type: wire.TypeEdit, Target: 1, Content: content})
	}
	deletion := changeOf(14, wire.Change{Type: wire.TypeDelete, Target: 1})
	both := wire.Reaction{Emoji: "👍", Count: 2, Usernames: []string{"x", "y"}}
	for name, c := range map[string]struct {
		entries []client.Entry
		want    wire.Message
	}{
		"on and off":          {[]client.Entry{react(11, 1, "z", "👍", true), react(13, 1, "z", "👍", true), react(12, 1, "z", "👍", false)}, wire.Message{Content: "old", Reactions: []wire.Reaction{{Emoji: "👍", Count: 3, Usernames: []string{"x", "y", "z"}}}}},
		"off before on":       {[]client.Entry{react(12, 1, "z", "👍", false), react(11, 1, "z", "👍", true)}, wire.Message{Content: "old", Reactions: []wire.Reaction{both}}},
		"on, of the page":     {[]client.Entry{react(12, 1, "x", "👍", true), react(11, 1, "x", "👍", false)}, wire.Message{Content: "old", Reactions: []wire.Reaction{both}}},
		"edit after deletion": {[]client.Entry{deletion, edit(13, "late")}, wire.Message{Deleted: true, Edited: wire.Edited{Seq: 13}}},
		"older edit":          {[]client.Entry{edit(13, "new"), edit(12, "late")}, wire.Message{Content: "new", Reactions: []wire.Reaction{both}, Edited: wire.Edited{Seq: 13}}},
	} {
		var f client.Fold
		f.Add(messageOf(1, 10, both))
		for _, e := range c.entries {
			f.Add(e)
		}
		got, _ := f.Message(1)
		c.want.Seq, c.want.Username = 1, "ben"
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFoldSaysWhatChanged(t *testing.T) {
	var f client.Fold
	reply := client.Entry{Seq: 3, Message: &wire.Message{Seq: 3, ReplyTo: 1}}
	for i, s := range []struct {
		entry client.Entry
		want  []uint64
	}{
		{react(2, 1, "x", "👍", true), nil}, // comes before its message
		{messageOf(1, 0), []uint64{1}},
		{messageOf(1, 0), nil},
		{react(2, 1, "x", "👍", true), nil},
		{reply, []uint64{3, 1}},
		{reply, nil},
		{changeOf(4, wire.Change{Type: wire.TypeEdit, Target: 1, Content: "new"}), []uint64{1}},
		{changeOf(4, wire.Change{Type: wire.TypeEdit, Target: 1, Content: "new"}), nil},
		{changeOf(5, wire.Change{Type: wire.TypePin, Target: 1, On: true}), []uint64{1}},
		{changeOf(6, wire.Change{Type: wire.TypePin, Target: 2, On: true}), nil}, // not here
		{changeOf(7, wire.Change{Type: wire.TypeTopic, Topic: "tea"}), nil},
		{client.Entry{Seq: 8}, nil},
		{messageOf(1, 9), []uint64{1}}, // later than what is known
		{messageOf(1, 8), nil},
		{changeOf(9, wire.Change{Type: wire.TypeDelete, Target: 1}), nil},
		{changeOf(10, wire.Change{Type: wire.TypeDelete, Target: 1}), []uint64{1}},
		{changeOf(11, wire.Change{Type: wire.TypePin, Target: 1, On: true}), nil},
	} {
		if got := f.Add(s.entry); !slices.Equal(got, s.want) {
			t.Errorf("step %d: %v changed, want %v", i, got, s.want)
		}
	}
	if m, ok := f.Message(1); !ok || !m.Deleted || m.Content != "" || m.Pinned {
		t.Errorf("got %+v", m)
	}
	f.Forget(1)
	if m, ok := f.Message(1); ok {
		t.Errorf("got %+v", m)
	}
}

// A fold keeps no more changes for later than it says.
func TestFoldForgetsOldChanges(t *testing.T) {
	const seqs = 5000
	var f client.Fold
	for seq := uint64(seqs + 1); seq <= 2*seqs; seq++ {
		f.Add(changeOf(seq, wire.Change{Type: wire.TypeEdit, Target: seq - seqs, Content: "new"}))
	}
	edited := 0
	for seq := uint64(1); seq <= seqs; seq++ {
		f.Add(messageOf(seq, 0))
		m, _ := f.Message(seq)
		if m.Content == "new" {
			edited++
		} else if edited > 0 {
			t.Fatalf("%d is not edited, but one before it is", seq)
		}
	}
	if edited < 1000 || edited >= 2000 {
		t.Errorf("%d changes were kept", edited)
	}
}

// The receipt of an own reaction does not say the account; the entries of another device
// of the reader do.
func TestFoldOfOwnReactionsElsewhere(t *testing.T) {
	f := client.Fold{Username: "ann"}
	f.Add(messageOf(1, 1))
	for seq := uint64(2); seq <= 5; seq++ {
		e := react(seq, 1, "ann", "👍", seq%2 == 0)
		if seq%2 == 1 { // elsewhere
			e.Change.Account = "A1"
		}
		f.Add(e)
		m, _ := f.Message(1)
		if got, want := len(m.Reactions), int(1-seq%2); got != want {
			t.Errorf("after %d there are %+v", seq, m.Reactions)
		}
	}
}
