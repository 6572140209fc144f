package frame

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/wire"
)

// at is the time of all entries.
var at = time.Date(2026, 11, 24, 12, 0, 0, 7e6, time.UTC)

// bodyOf returns the body of a change.
func bodyOf[T people.MemberChange | people.TopicChange | people.RoomChange](t *testing.T, change T) string {
	t.Helper()
	body, err := people.EncodeChange(change)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// read returns the frame of an entry, which is one line.
func read(t *testing.T, room string, e *chat.Entry) wire.Event {
	t.Helper()
	line := AppendEntry(nil, room, e)
	reader := wire.NewReader(bytes.NewReader(line))
	defer reader.Close()
	var event wire.Event
	if err := reader.ReadEvent(&event); err != nil || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("%q: %v", line, err)
	}
	return event
}

func TestFrames(t *testing.T) {
	flags, archived := []string{"locked"}, true
	author := wire.Change{Seq: 2, ID: "b", Username: "ann", Account: "A1", Time: at}
	change := func(kind wire.Type, set func(*wire.Change)) *wire.Change {
		c := author
		c.Type = kind
		set(&c)
		return &c
	}
	entries := []chat.Entry{
		{Kind: kaban.KindMessage, Content: "hello"},
		{Kind: kaban.KindTopic, Content: bodyOf(t, people.TopicChange{Topic: "a <b> & \"c\""})},
		{Kind: kaban.KindTopic, Content: bodyOf(t, people.TopicChange{})},
		{Kind: kaban.KindMember, Content: bodyOf(t, people.MemberChange{Subject: "bob", Change: people.ChangeBanned, Reason: "spam", Until: 7})},
		{Kind: kaban.KindMember, Content: bodyOf(t, people.MemberChange{Subject: "bob", Change: people.ChangeRole, Role: kaban.RoomRoleOp})},
		{Kind: kaban.KindRoom, Content: bodyOf(t, people.RoomChange{Change: people.ChangeCreated, Kind: kaban.RoomPrivate})},
		{Kind: kaban.KindRoom, Content: bodyOf(t, people.RoomChange{Change: people.ChangeSettings, Flags: &flags, History: people.HistoryJoined, Archived: &archived})},
		{Kind: kaban.KindEdit, Target: 1, Content: "say \"hi\""},
		{Kind: kaban.KindEdit, Target: 1},
		{Kind: kaban.KindDelete, Target: 1, Content: "spam"},
		{Kind: kaban.KindDelete, Target: 1},
		{Kind: kaban.KindReact, Target: 1, Content: kaban.Switch(true, "👍🏽")},
		{Kind: kaban.KindReact, Target: 1, Content: kaban.Switch(false, "❤️")},
		{Kind: kaban.KindPin, Target: 1, Content: kaban.Switch(true, "")},
		{Kind: kaban.KindPin, Target: 1, Content: kaban.Switch(false, "")},
	}
	changes := []*wire.Change{
		nil,
		change(wire.TypeTopic, func(c *wire.Change) { c.Topic = "a <b> & \"c\"" }),
		change(wire.TypeTopic, func(*wire.Change) {}),
		change(wire.TypeMember, func(c *wire.Change) { c.Subject, c.Change, c.Reason, c.Until = "bob", "banned", "spam", 7 }),
		change(wire.TypeMember, func(c *wire.Change) { c.Subject, c.Change, c.Role = "bob", "role", kaban.RoomRoleOp }),
		change(wire.TypeRoom, func(c *wire.Change) { c.Change, c.Kind = "created", kaban.RoomPrivate }),
		change(wire.TypeRoom, func(c *wire.Change) {
			c.Change, c.HasFlags, c.Flags, c.History = "set", true, kaban.FlagLocked, wire.HistoryJoined
			c.HasArchived, c.Archived = true, true
		}),
		change(wire.TypeEdit, func(c *wire.Change) { c.Target, c.Content = 1, "say \"hi\"" }),
		change(wire.TypeEdit, func(c *wire.Change) { c.Target = 1 }),
		change(wire.TypeDelete, func(c *wire.Change) { c.Target, c.Reason = 1, "spam" }),
		change(wire.TypeDelete, func(c *wire.Change) { c.Target = 1 }),
		change(wire.TypeReact, func(c *wire.Change) { c.Target, c.Emoji, c.On = 1, "👍🏽", true }),
		change(wire.TypeReact, func(c *wire.Change) { c.Target, c.Emoji = 1, "❤️" }),
		change(wire.TypePin, func(c *wire.Change) { c.Target, c.On = 1, true }),
		change(wire.TypePin, func(c *wire.Change) { c.Target = 1 }),
	}
	for i := range entries {
		e := &entries[i]
		e.Seq, e.Time, e.ID, e.Author, e.Username = 2, at.UnixMilli(), "b", "account:A1", "ann"
		want := wire.Event{Room: "lobby", Seq: 2, Change: changes[i]}
		if changes[i] == nil {
			want = wire.Event{Type: wire.TypeMessage, Room: "lobby", Seq: 2, ID: "b", Username: "ann", AuthorID: "A1", Content: "hello", Time: at}
		} else {
			want.Type = changes[i].Type
		}
		got := read(t, "lobby", e)
		if diff := cmp.Diff(want, got); diff != "" || !got.IsEntry() {
			t.Errorf("%+v (-want +got):\n%s", e, diff)
		}
	}
	page := wire.Event{AsOf: 9}
	Page(&page, entries, "")
	if len(page.Entries) != len(entries) {
		t.Fatalf("a page has %+v", page.Entries)
	}
	for i, entry := range page.Entries {
		if diff := cmp.Diff(changes[i], entry.Change, cmp.Comparer(time.Time.Equal)); diff != "" || (entry.Message != nil) != (i == 0) || entry.Seq != 2 || entry.AsOf != 9 {
			t.Errorf("element %d is %+v (-want +got):\n%s", i, entry, diff)
		}
	}
}

// stateful is a message that much has become of.
var stateful = chat.Entry{
	Seq: 2, Time: at.UnixMilli(), Kind: kaban.KindMessage, ID: "b", Author: "bot:A2", Username: "ci", Target: 1, Content: "new",
	State: &store.State{
		Edited: store.Change{Seq: 7, Time: at.UnixMilli() + 1000}, Pinned: store.Change{Seq: 8, Time: 1}, Replies: 3,
		Reactions: []store.Reaction{
			{Emoji: "👍", People: []store.Reactor{{Author: "account:A1", Username: "ann"}, {Author: "visitor:bob", Username: "bob"}}},
			{Emoji: "🎉", People: []store.Reactor{
				{Author: "visitor:bob", Username: "bob"},
				{Author: "visitor:cid", Username: "cid"},
				{Author: "visitor:dan", Username: "dan"},
				{Author: "visitor:eve", Username: "eve"},
				{Author: "visitor:fay", Username: "fay"},
				{Author: "account:A1", Username: "ann"},
			}},
		},
	},
}

// A frame has the text of a message and whether that is the first one. What else has become
// of it the reader gets from the entries that follow.
func TestFramesOfChangedMessages(t *testing.T) {
	e := stateful
	want := wire.Event{
		Type: wire.TypeMessage, Room: "lobby", Seq: 2, ID: "b", Username: "ci", AuthorID: "A2", Bot: true, ReplyTo: 1, Content: "new", Time: at,
		Edited: wire.Edited{Seq: 7, Time: at.Add(time.Second)},
	}
	if diff := cmp.Diff(want, read(t, "lobby", &e)); diff != "" {
		t.Errorf("an edited message (-want +got):\n%s", diff)
	}
	if line := string(AppendEntry(nil, "lobby", &e)); strings.Contains(line, "reactions") || strings.Contains(line, "replies") || strings.Contains(line, "pinned") {
		t.Errorf("the frame says more than readers count: %s", line)
	}
	e.Content, e.State = "", &store.State{Edited: e.State.Edited, Deleted: store.Change{Seq: 9, Time: 9}, Replies: 3}
	want.Content, want.Deleted = "", true
	if diff := cmp.Diff(want, read(t, "lobby", &e)); diff != "" {
		t.Errorf("a deleted message (-want +got):\n%s", diff)
	}
}

func TestElementsOfChangedMessages(t *testing.T) {
	for me, mine := range map[string][2]bool{"": {}, "visitor:ann": {}, "account:A1": {true, true}, "visitor:bob": {true, true}, "visitor:cid": {false, true}} {
		want := []wire.Reaction{
			{Emoji: "👍", Count: 2, Me: mine[0], Usernames: []string{"ann", "bob"}},
			{Emoji: "🎉", Count: 6, Me: mine[1], Usernames: []string{"bob", "cid", "dan", "eve", "fay"}},
		}
		var page wire.Event
		Page(&page, []chat.Entry{stateful}, me)
		m := page.Entries[0].Message
		if diff := cmp.Diff(want, m.Reactions); diff != "" || m.Replies != 3 || !m.Pinned || m.PinnedAt != 8 || m.Deleted || m.ReplyTo != 1 || m.Edited.Seq != 7 {
			t.Errorf("for %q: %+v (-want +got):\n%s", me, m, diff)
		}
	}
	// A reaction without an author is nobody's.
	e := stateful
	e.State = &store.State{Reactions: []store.Reaction{{Emoji: "👍", People: []store.Reactor{{Username: "ann"}}}}}
	var page wire.Event
	Page(&page, []chat.Entry{e}, "")
	if m := page.Entries[0].Message; m.Reactions[0].Me || m.Reactions[0].Count != 1 || m.Pinned || m.Edited.Seq != 0 {
		t.Errorf("got %+v", m)
	}
}

func TestAuthors(t *testing.T) {
	for author, want := range map[string]wire.Event{
		"visitor:ann": {},
		"account:A1":  {AuthorID: "A1"},
		"bot:A2":      {AuthorID: "A2", Bot: true},
		"hook:H1":     {Bot: true},
	} {
		e := chat.Entry{Seq: 1, Kind: kaban.KindMessage, ID: "a", Author: author, Username: "ann", Content: "x"}
		if got := read(t, "lobby", &e); got.AuthorID != want.AuthorID || got.Bot != want.Bot {
			t.Errorf("%s has account %q, bot %v", author, got.AuthorID, got.Bot)
		}
		e.Kind, e.Content = kaban.KindTopic, `{"topic":"x"}`
		if got := read(t, "lobby", &e); got.Change == nil || got.Change.Account != want.AuthorID || got.Change.Bot != want.Bot {
			t.Errorf("a topic by %s is %+v", author, got.Change)
		}
	}
}

// An entry that this version cannot show still moves every cursor.
func TestVoid(t *testing.T) {
	var bad []chat.Entry
	for _, body := range []string{``, `+`, `secret`, `{}`, `{"secret":1}`, `{"change":"secret"`, `{"change":1,"topic":1}`, `{"change":"set","flags":["secret"]}`, `{"change":"set","flags":["locked","locked"],"x":1}`} {
		for _, kind := range []kaban.Kind{kaban.KindMember, kaban.KindTopic, kaban.KindRoom, kaban.KindEdit, kaban.KindDelete, kaban.KindReact, kaban.KindPin, 200, 0} {
			e := chat.Entry{Seq: 2, Time: at.UnixMilli(), Kind: kind, ID: "b", Author: "visitor:ann", Username: "ann", Target: 1, Content: body}
			if kind.IsChange() {
				e.Target = 0
			}
			bad = append(bad, e)
			if e.Target = 1; kind == kaban.KindReact && len(body) < 2 {
				bad = append(bad, e)
			}
		}
	}
	for i := range bad {
		got := read(t, "lobby", &bad[i])
		if got.Type != wire.TypeUnknown || !got.IsEntry() || got.Room != "lobby" || got.Seq != 2 {
			t.Errorf("kind %d with %q is %+v", bad[i].Kind, bad[i].Content, got)
		}
		if line := AppendEntry(nil, "lobby", &bad[i]); strings.Contains(string(line), "secret") {
			t.Errorf("a void frame says too much: %s", line)
		}
	}
	var page wire.Event
	Page(&page, append([]chat.Entry{{Seq: 1, Kind: kaban.KindMessage, ID: "a", Username: "ann", Content: "hello"}}, bad[:2]...), "")
	if page.Entries[0].Message == nil || page.Entries[1].Message != nil || page.Entries[1].Change != nil || !page.Entries[1].Time.Equal(at) {
		t.Errorf("a page has %+v", page.Entries)
	}
	page.Type = wire.TypeHistory
	if line := string(page.Append(nil)); !strings.Contains(line, `{"type":"void","seq":2,"time":"2026-11-24T12:00:00.007Z"}`) {
		t.Errorf("an element that cannot be shown lacks its time: %s", line)
	}
	var none wire.Event
	Page(&none, nil, "")
	if len(none.Entries) != 0 {
		t.Errorf("an empty page is %+v", none)
	}
}

// The size of an element is what the page grows by, which a server decides by how many fit.
func TestSize(t *testing.T) {
	entries := []chat.Entry{
		{Seq: 1 << 40, Time: at.UnixMilli(), Kind: kaban.KindMessage, ID: "a", Author: "bot:A1", Username: "ann", Content: "hello"},
		{Seq: 2 << 40, Time: at.UnixMilli(), Kind: kaban.KindTopic, ID: "a", Author: "bot:A1", Username: "ann", Content: `{"topic":"x"}`},
		{Seq: 3 << 40, Time: at.UnixMilli(), Kind: 200, ID: "a", Author: "bot:A1", Username: "ann", Content: `x`},
		stateful,
	}
	page := wire.Event{Type: wire.TypeHistory, Room: "lobby"}
	sum := len(page.Append(nil))
	for i := range entries {
		sum += Size(&entries[i], "account:A1")
	}
	Page(&page, entries, "account:A1")
	if got := len(page.Append(nil)) + len(","); got != sum { // the last element has no comma
		t.Errorf("a page takes %d bytes, its elements say %d", got, sum)
	}
}

// The longest message with the most reactions fits a line, with as many of them as do.
func TestLongMessagesWithManyReactions(t *testing.T) {
	long := func(n int) string { return strings.Repeat("😀", n) }
	for _, test := range []struct{ content, reactions, least int }{{1, 50, 50}, {10_000, 50, 50}, {15_000, 50, 20}, {kaban.MaxContentCeiling, 50, 0}} {
		state := &store.State{
			Edited: store.Change{Seq: wire.MaxNumber, Time: at.UnixMilli()}, Pinned: store.Change{Seq: wire.MaxNumber, Time: 1}, Replies: wire.MaxNumber,
		}
		for i := range test.reactions {
			r := store.Reaction{Emoji: fmt.Sprintf("%04d", i) + strings.Repeat("e", 31)}
			for range 9 {
				r.People = append(r.People, store.Reactor{Author: "visitor:x", Username: long(kaban.MaxUsername)})
			}
			state.Reactions = append(state.Reactions, r)
		}
		e := chat.Entry{
			Seq: wire.MaxNumber, Time: at.UnixMilli(), Kind: kaban.KindMessage, ID: strings.Repeat("i", kaban.MaxMessageID), Author: "bot:" + strings.Repeat("a", 40),
			Username: long(kaban.MaxUsername), Target: wire.MaxNumber, Content: long(test.content), State: state,
		}
		page := wire.Event{
			Type: wire.TypeHistory, Room: long(kaban.MaxRoomName), First: wire.MaxNumber, Last: wire.MaxNumber, AsOf: wire.MaxNumber,
			Ref: strings.Repeat("\x01", wire.MaxRef), HasRef: true,
		}
		Page(&page, []chat.Entry{e}, "visitor:x")
		line := page.Append(nil)
		if len(line)-1 > wire.MaxFrame {
			t.Errorf("a message of %d characters takes a line of %d bytes", test.content, len(line))
		}
		m := page.Entries[0].Message
		if m.Content != e.Content || len(m.Reactions) < test.least {
			t.Errorf("a message of %d characters has %d and %d reactions", test.content, len(m.Content), len(m.Reactions))
		}
		for i, r := range m.Reactions {
			if r.Count != 9 || !r.Me || r.Emoji != state.Reactions[i].Emoji {
				t.Errorf("reaction %d is %+v", i, r)
			}
		}
		if names := len(m.Reactions) > 0 && len(m.Reactions[0].Usernames) > 0; names != (test.content == 1) {
			t.Errorf("a message of %d characters names people: %v", test.content, names)
		}
	}
}
