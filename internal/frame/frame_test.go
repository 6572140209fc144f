package frame

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/people"
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
	var page wire.Event
	Page(&page, entries)
	if len(page.Entries) != len(entries) || page.First != 2 || page.Last != 2 {
		t.Fatalf("a page covers %d to %d with %+v", page.First, page.Last, page.Entries)
	}
	for i, entry := range page.Entries {
		if diff := cmp.Diff(changes[i], entry.Change, cmp.Comparer(time.Time.Equal)); diff != "" || (entry.Message != nil) != (i == 0) || entry.Seq != 2 {
			t.Errorf("element %d is %+v (-want +got):\n%s", i, entry, diff)
		}
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
	for _, body := range []string{``, `secret`, `{}`, `{"secret":1}`, `{"change":"secret"`, `{"change":1,"topic":1}`, `{"change":"set","flags":["secret"]}`, `{"change":"set","flags":["locked","locked"],"x":1}`} {
		for _, kind := range []kaban.Kind{kaban.KindMember, kaban.KindTopic, kaban.KindRoom, kaban.KindEdit, kaban.KindDelete, kaban.KindReact, kaban.KindPin, 200, 0} {
			bad = append(bad, chat.Entry{Seq: 2, Time: at.UnixMilli(), Kind: kind, ID: "b", Author: "visitor:ann", Username: "ann", Target: 1, Content: body})
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
	Page(&page, append([]chat.Entry{{Seq: 1, Kind: kaban.KindMessage, ID: "a", Username: "ann", Content: "hello"}}, bad[:2]...))
	if page.First != 1 || page.Last != 2 || page.Entries[0].Message == nil || page.Entries[1].Message != nil || page.Entries[1].Change != nil || !page.Entries[1].Time.Equal(at) {
		t.Errorf("a page covers %d to %d with %+v", page.First, page.Last, page.Entries)
	}
	page.Type = wire.TypeHistory
	if line := string(page.Append(nil)); !strings.Contains(line, `{"type":"void","seq":2,"time":"2026-11-24T12:00:00.007Z"}`) {
		t.Errorf("an element that cannot be shown lacks its time: %s", line)
	}
	var none wire.Event
	Page(&none, nil)
	if none.First != 0 || none.Last != 0 || len(none.Entries) != 0 {
		t.Errorf("an empty page is %+v", none)
	}
}

// An element of a page is not longer than the frame, by which a server decides how
// many fit.
func TestElementsAreNotLongerThanFrames(t *testing.T) {
	entries := []chat.Entry{
		{Seq: 1 << 40, Time: at.UnixMilli(), Kind: kaban.KindMessage, ID: "a", Author: "bot:A1", Username: "ann", Content: "hello"},
		{Seq: 2 << 40, Time: at.UnixMilli(), Kind: kaban.KindTopic, ID: "a", Author: "bot:A1", Username: "ann", Content: `{"topic":"x"}`},
		{Seq: 3 << 40, Time: at.UnixMilli(), Kind: 200, ID: "a", Author: "bot:A1", Username: "ann", Content: `x`},
	}
	for i := range entries {
		var page, empty wire.Event
		page.Type, empty.Type = wire.TypeHistory, wire.TypeHistory
		Page(&page, entries[i:i+1])
		empty.First, empty.Last = page.First, page.Last
		if element, frame := len(page.Append(nil))-len(empty.Append(nil)), len(AppendEntry(nil, "", &entries[i])); element >= frame {
			t.Errorf("entry %d takes %d bytes in a page and %d as a frame", i, element, frame)
		}
	}
}
