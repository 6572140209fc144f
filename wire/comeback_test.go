package wire

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kaban"
)

// drawLine draws a text that is a valid topic or reason.
func drawLine(t *rapid.T, label string, limit int) string {
	any := rapid.Rune().Filter(func(c rune) bool {
		return c >= ' ' && (c < 0x7f || c > 0x9f) && c != 0x2028 && c != 0x2029 && (c < 0xd800 || c > 0xdfff)
	})
	return rapid.StringOfN(any, 0, limit, -1).Draw(t, label)
}

func drawName(t *rapid.T, label string) kaban.Username {
	name, err := kaban.ParseUsername(rapid.StringMatching(`[a-zA-ZäöüßéА-я]{1,20}[0-9_]{0,3}x`).Draw(t, label))
	if err != nil {
		t.Skip(err)
	}
	return name
}

// drawRequest draws a valid request of a type.
func drawRequest(t *rapid.T, kind Type) Request {
	q := Request{Type: kind}
	flip := func(label string) bool { return rapid.Bool().Draw(t, label) }
	if flip("ref") {
		q.Ref = []byte(rapid.StringN(0, 16, MaxRef).Draw(t, "ref"))
	}
	if q.hasRoom() {
		q.Room, _ = kaban.ParseRoomName(rapid.StringMatching(`[a-z0-9][a-z0-9_.-]{0,20}x`).Draw(t, "room"))
		if kind != TypeCreate && flip("direct") {
			q.Room = kaban.NewDirectRoom()
		}
	}
	if q.hasID() {
		q.ID, _ = kaban.ParseMessageID(rapid.StringMatching(`[A-Za-z0-9._:-]{1,64}`).Draw(t, "id"))
	}
	if kind.IsModeration() {
		q.Username, q.Reason = drawName(t, "subject"), drawLine(t, "reason", MaxReason)
	}
	word := func(n int) uint8 { return uint8(rapid.IntRange(1, n).Draw(t, "word")) }
	switch kind {
	case TypeHello:
		switch rapid.IntRange(0, 3).Draw(t, "identity") {
		case 0:
			q.Username, q.Resume = drawName(t, "username"), rapid.StringN(0, 30, maxToken).Draw(t, "resume")
		case 1:
			q.Username, q.Password = drawName(t, "username"), Secret(rapid.StringN(1, 300, MaxPassword).Draw(t, "password"))
			q.Place = Secret(rapid.SampledFrom([]string{"", strings.Repeat("p", MinPlace), strings.Repeat("é", MaxPlace/2)}).Draw(t, "place"))
		case 2:
			q.Token = Secret(rapid.StringN(1, 100, MaxToken).Draw(t, "token"))
		}
	case TypeAway:
		q.Away, q.Status, q.Until = flip("away"), drawLine(t, "text", MaxStatus), rapid.Int64Range(0, MaxNumber).Draw(t, "until")
	case TypeInbox:
		q.Before, q.Limit = rapid.Uint64Range(0, MaxNumber).Draw(t, "before"), rapid.IntRange(0, MaxLimit).Draw(t, "limit")
		q.HasBefore = q.Before != 0
	case TypeMe, TypeRooms, TypeMembers:
		q.AfterName, q.Limit = rapid.StringN(0, 60, maxName).Draw(t, "after"), rapid.IntRange(0, MaxLimit).Draw(t, "limit")
	case TypeCreate:
		q.Kind, q.Topic = kaban.RoomKind(word(2)), drawLine(t, "topic", MaxTopic)
		q.Flags = kaban.RoomFlags(rapid.IntRange(0, 7).Draw(t, "flags"))
	case TypeDirect:
		q.Usernames = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) kaban.Username { return drawName(t, "name") }), 1, kaban.MaxDirect, kaban.Username.Key).Draw(t, "usernames")
	case TypeRole:
		q.Role = kaban.RoomRole(word(3))
	case TypeBan:
		q.Until = rapid.Int64Range(0, MaxNumber).Draw(t, "until")
	case TypeTopic:
		q.Topic = drawLine(t, "topic", MaxTopic)
	case TypeSet:
		q.Kind, q.History = kaban.RoomKind(rapid.IntRange(0, 2).Draw(t, "kind")), rapid.SampledFrom([]string{"", HistoryAll, HistoryJoined}).Draw(t, "history")
		if q.HasFlags = flip("has flags"); q.HasFlags {
			q.Flags = kaban.RoomFlags(rapid.IntRange(0, 3).Draw(t, "flags"))
		}
		q.HasArchived = q.Kind == 0 && q.History == "" && !q.HasFlags || flip("has archived")
		q.Archived = q.HasArchived && flip("archived")
	case TypeRead, TypeUnread:
		q.Seq = rapid.Uint64Range(0, MaxNumber).Draw(t, "seq")
	case TypeNotify:
		q.Level = kaban.NotifyLevel(word(3))
	case TypeWatch, TypeJoin:
		q.Epoch = rapid.StringN(0, 30, maxToken).Draw(t, "epoch")
		if q.HasAfter = flip("has after"); q.HasAfter {
			q.After = rapid.Uint64Range(0, MaxNumber).Draw(t, "after")
		}
	case TypeHistory:
		if q.HasBefore = flip("has before"); q.HasBefore {
			q.Before = rapid.Uint64Range(0, MaxNumber).Draw(t, "before")
		} else if q.HasAfter = flip("has after"); q.HasAfter {
			q.After = rapid.Uint64Range(0, MaxNumber).Draw(t, "after")
		}
		q.RepliesTo, q.Limit = rapid.Uint64Range(0, MaxNumber).Draw(t, "replies to"), rapid.IntRange(0, MaxLimit).Draw(t, "limit")
	case TypeSearch:
		q.Query, q.Zone = rapid.StringN(0, 100, MaxQuery).Draw(t, "query"), rapid.StringN(0, 20, maxToken).Draw(t, "zone")
		if flip("no room") {
			q.Room = kaban.RoomName{}
		}
		if q.HasBefore = flip("has before"); q.HasBefore {
			q.Before = rapid.Uint64Range(0, MaxNumber).Draw(t, "before")
		}
		q.Limit = rapid.IntRange(0, MaxHits).Draw(t, "limit")
	case TypeEdit, TypeDelete, TypeReact, TypePin:
		drawMessageChange(t, &q)
	case TypeSend:
		q.ReplyTo = rapid.Uint64Range(0, MaxNumber).Draw(t, "reply to")
		q.Message, _ = kaban.NewMessage(drawName(t, "author"), "x"+drawLine(t, "content", 100), 5000)
	}
	return q
}

func drawMessageChange(t *rapid.T, q *Request) {
	q.Target = rapid.Uint64Range(1, MaxNumber).Draw(t, "target")
	switch q.Type {
	case TypeEdit:
		q.Base = rapid.Uint64Range(0, MaxNumber).Draw(t, "base")
		if rapid.Bool().Draw(t, "text") {
			q.Message, _ = kaban.NewMessage(drawName(t, "author"), "x"+drawLine(t, "content", 100), 5000)
		}
	case TypeDelete:
		q.Reason = drawLine(t, "reason", MaxReason)
	case TypeReact:
		q.Emoji = rapid.StringN(1, -1, MaxEmoji).Draw(t, "emoji")
	}
	if q.Type == TypeReact || q.Type == TypePin {
		q.On = rapid.Bool().Draw(t, "on")
	}
}

// comparers compare the values of package kaban, whose fields are not exported.
var comparers = cmp.Options{
	cmp.Comparer(func(a, b kaban.Username) bool { return a == b }),
	cmp.Comparer(func(a, b kaban.RoomName) bool { return a.String() == b.String() }),
	cmp.Comparer(func(a, b kaban.MessageID) bool { return a == b }),
	cmp.Comparer(func(a, b kaban.Message) bool { return a == b }),
}

func TestRequestsComeBack(t *testing.T) {
	for kind := range Type(len(typeNames)) {
		if !kind.IsRequest() {
			continue
		}
		t.Run(kind.String(), rapid.MakeCheck(func(t *rapid.T) {
			want := drawRequest(t, kind)
			r := NewReader(bytes.NewReader(want.Append(nil)))
			r.SetAuthor(new(kaban.Visitor(want.Message.Username())))
			r.AllowBareHello()
			var got Request
			if err := r.ReadRequest(&got); err != nil {
				t.Fatalf("%s: %v", want.Append(nil), err)
			}
			if diff := cmp.Diff(want, got, comparers); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", want.Append(nil), diff)
			}
		}))
	}
}

// drawChange draws a change. Its texts are not checked by readers.
func drawChange(t *rapid.T) Change {
	text := func(label string) string { return rapid.StringN(0, 20, -1).Draw(t, label) }
	c := Change{
		Type: rapid.SampledFrom([]Type{TypeMember, TypeTopic, TypeRoom, TypeEdit, TypeDelete, TypeReact, TypePin}).Draw(t, "type"), Seq: rapid.Uint64Range(1, MaxNumber).Draw(t, "seq"),
		ID: text("id"), Username: text("username"), Account: text("account"), Bot: rapid.Bool().Draw(t, "bot"), Time: drawTime(t),
	}
	switch c.Type {
	case TypeMember:
		c.Subject, c.Change, c.Reason = text("subject"), text("change"), text("reason")
		c.Role, c.Until = kaban.RoomRole(rapid.IntRange(0, 3).Draw(t, "role")), rapid.Int64Range(0, MaxNumber).Draw(t, "until")
	case TypeTopic:
		c.Topic = text("topic")
	case TypeRoom:
		c.Change, c.History, c.Kind = text("change"), text("history"), kaban.RoomKind(rapid.IntRange(0, 3).Draw(t, "kind"))
		if c.HasFlags = rapid.Bool().Draw(t, "has flags"); c.HasFlags {
			c.Flags = kaban.RoomFlags(rapid.IntRange(0, 7).Draw(t, "flags"))
		}
		if c.HasArchived = rapid.Bool().Draw(t, "has archived"); c.HasArchived {
			c.Archived = rapid.Bool().Draw(t, "archived")
		}
	default:
		c.Target = rapid.Uint64Range(1, MaxNumber).Draw(t, "target")
	}
	switch c.Type {
	case TypeEdit:
		c.Content = text("content")
		c.NoText = c.Content == "" && rapid.Bool().Draw(t, "no text")
	case TypeDelete:
		c.Reason = text("reason")
	case TypeReact:
		c.Emoji, c.On = text("emoji"), rapid.Bool().Draw(t, "on")
	case TypePin:
		c.On = rapid.Bool().Draw(t, "on")
	}
	return c
}

func drawTime(t *rapid.T) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC()
}

func drawState(t *rapid.T) RoomState {
	text := func(label string) string { return rapid.StringN(0, 20, -1).Draw(t, label) }
	if rapid.IntRange(0, 9).Draw(t, "gone") == 0 {
		return RoomState{Room: text("room"), Gone: true}
	}
	return RoomState{
		Room: text("room"), Kind: kaban.RoomKind(rapid.IntRange(0, 3).Draw(t, "kind")), Title: text("title"), Topic: text("topic"),
		Role: kaban.RoomRole(rapid.IntRange(0, 3).Draw(t, "role")), Flags: kaban.RoomFlags(rapid.IntRange(0, 7).Draw(t, "flags")),
		History: rapid.SampledFrom([]string{"", "all", "joined"}).Draw(t, "history"),
		Head:    rapid.Uint64Range(0, MaxNumber).Draw(t, "head"), Read: rapid.Uint64Range(0, MaxNumber).Draw(t, "read"),
		Unread: rapid.IntRange(0, 1e9).Draw(t, "unread"), Mentions: rapid.IntRange(0, 1e9).Draw(t, "mentions"),
		UnreadFrom: rapid.Uint64Range(0, MaxNumber).Draw(t, "unread from"),
		Notify:     kaban.NotifyLevel(rapid.IntRange(0, 3).Draw(t, "notify")),
	}
}

func drawEvent(t *rapid.T) Event {
	text := func(label string) string { return rapid.StringN(0, 20, -1).Draw(t, label) }
	e := Event{Type: rapid.SampledFrom([]Type{
		TypeWelcome, TypeWatching, TypeOK, TypeCreated, TypeMe, TypeNotifications, TypeState, TypeMembers, TypeHistory, TypeFound, TypeMessage, TypeParted, TypeMember, TypeInbox,
	}).Draw(t, "type")}
	if e.HasRef = e.Type != TypeMessage && e.Type != TypeMember && rapid.Bool().Draw(t, "has ref"); e.HasRef {
		e.Ref = text("ref")
	}
	account := func() *Account {
		if rapid.Bool().Draw(t, "visitor") {
			return nil
		}
		return &Account{Username: text("username"), Name: text("name"), Role: kaban.Role(rapid.IntRange(1, 4).Draw(t, "role")), Bot: rapid.Bool().Draw(t, "bot")}
	}
	switch e.Type {
	case TypeWelcome:
		e.Account, e.Username, e.Token, e.Server = account(), text("username"), Secret(text("token")), text("server")
		e.Session = text("session")
		e.Limits = Limits{Username: 32, Content: 5000, Frame: 65536, Topic: rapid.IntRange(1, 512).Draw(t, "topic"), Reason: 256}
	case TypeWatching:
		e.Room, e.Epoch, e.Head, e.Members = text("room"), text("epoch"), rapid.Uint64Range(0, MaxNumber).Draw(t, "head"), rapid.IntRange(0, 1e9).Draw(t, "members")
	case TypeCreated:
		e.Room = text("room")
	case TypeParted:
		e.Room, e.Removal = text("room"), Removal(text("reason"))
	case TypeMe, TypeNotifications:
		if e.Type == TypeMe {
			e.Account, e.More, e.States = account(), rapid.Bool().Draw(t, "more"), rapid.SliceOfN(rapid.Custom(drawState), 0, 5).Draw(t, "states")
		}
		e.Level = kaban.NotifyLevel(rapid.IntRange(0, 3).Draw(t, "level"))
		for range rapid.IntRange(0, 3).Draw(t, "keywords") {
			e.Keywords = append(e.Keywords, text("keyword"))
		}
		if rapid.Bool().Draw(t, "quiet") {
			e.Quiet = &Quiet{From: text("from"), To: text("to"), Zone: text("zone"), Until: rapid.Int64Range(0, MaxNumber).Draw(t, "until")}
			for range rapid.IntRange(0, 2).Draw(t, "days") {
				e.Quiet.Days = append(e.Quiet.Days, text("day"))
			}
		}
	case TypeInbox:
		e.More, e.Next = rapid.Bool().Draw(t, "more"), rapid.Uint64Range(0, MaxNumber).Draw(t, "next")
		for range rapid.IntRange(0, 3).Draw(t, "mentions") {
			e.Mentions = append(e.Mentions, Mention{
				Room: text("room"), Seq: rapid.Uint64Range(0, MaxNumber).Draw(t, "seq"), ID: text("id"), Username: text("username"), Account: text("account"),
				Bot: rapid.Bool().Draw(t, "bot"), Content: text("content"), Time: time.UnixMilli(rapid.Int64Range(0, 1e13).Draw(t, "time")).UTC(),
				Files: drawFiles(t), Cause: rapid.SampledFrom([]Cause{CauseName, CauseEveryone, CauseHere, "later"}).Draw(t, "cause"),
			})
		}
	case TypeState:
		state := drawState(t)
		e.Room, e.State = state.Room, &state
	case TypeMembers:
		e.Room, e.More = text("room"), rapid.Bool().Draw(t, "more")
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			m := Member{Username: text("username"), Account: text("account"), Name: text("name"), Role: kaban.RoomRole(rapid.IntRange(0, 3).Draw(t, "role")), Online: rapid.Bool().Draw(t, "online"), Bot: rapid.Bool().Draw(t, "bot")}
			m.Away, m.Status, m.Until = rapid.Bool().Draw(t, "away"), text("status"), rapid.Int64Range(0, MaxNumber).Draw(t, "until")
			e.Usernames, e.People = append(e.Usernames, m.Username), append(e.People, m)
		}
	case TypeHistory:
		e.Room, e.More, e.Entries = text("room"), rapid.Bool().Draw(t, "more"), rapid.SliceOfN(rapid.Custom(drawEntry), 0, 5).Draw(t, "entries")
		e.AsOf = rapid.Uint64Range(0, MaxNumber).Draw(t, "as of")
		for i := range e.Entries {
			e.Entries[i].AsOf = e.AsOf
		}
		if rapid.Bool().Draw(t, "covers") {
			e.First, e.Last = rapid.Uint64Range(1, MaxNumber).Draw(t, "first"), rapid.Uint64Range(1, MaxNumber).Draw(t, "last")
		}
	case TypeFound:
		e.More, e.Partial, e.Next = rapid.Bool().Draw(t, "more"), rapid.Bool().Draw(t, "partial"), rapid.Uint64Range(0, MaxNumber).Draw(t, "next")
		e.Hits = rapid.SliceOfN(rapid.Custom(drawHit), 0, 5).Draw(t, "hits")
	case TypeMessage:
		m := drawMessage(t)
		e.Room, e.Seq, e.ID, e.Username, e.AuthorID, e.Bot, e.Content, e.Time = text("room"), m.Seq, m.ID, m.Username, m.Account, m.Bot, m.Content, m.Time
		e.ReplyTo, e.Edited, e.Deleted = m.ReplyTo, m.Edited, m.Deleted
	case TypeMember:
		c := drawChange(t)
		e.Type, e.Room, e.Seq, e.Change = c.Type, text("room"), c.Seq, &c
	}
	return e
}

func drawFiles(t *rapid.T) kaban.Files {
	return rapid.SampledFrom([]kaban.Files{{}, someFiles}).Draw(t, "files")
}

func drawHit(t *rapid.T) Hit {
	m := drawMessage(t)
	h := Hit{Room: rapid.StringN(1, 20, -1).Draw(t, "room"), Seq: m.Seq, ID: m.ID, Username: m.Username, Account: m.Account, Bot: m.Bot, Time: m.Time, Snippet: m.Content, Files: drawFiles(t)}
	for range rapid.IntRange(0, 3).Draw(t, "marks") {
		h.Marks = append(h.Marks, Mark{rapid.IntRange(0, 1000).Draw(t, "start"), rapid.IntRange(1, 1000).Draw(t, "length")})
	}
	return h
}

func drawMessage(t *rapid.T) Message {
	text := func(label string) string { return rapid.StringN(0, 20, -1).Draw(t, label) }
	m := Message{
		Seq: rapid.Uint64Range(1, MaxNumber).Draw(t, "seq"), ID: text("id"), Username: text("username"), Account: text("account"),
		Bot: rapid.Bool().Draw(t, "bot"), Content: text("content"), Time: drawTime(t),
		ReplyTo: rapid.Uint64Range(0, MaxNumber).Draw(t, "reply to"), Deleted: rapid.Bool().Draw(t, "deleted"),
	}
	if m.Deleted {
		m.Content = ""
	}
	if rapid.Bool().Draw(t, "edited") {
		m.Edited = Edited{rapid.Uint64Range(1, MaxNumber).Draw(t, "edited seq"), drawTime(t)}
	}
	return m
}

// drawFolded draws a message of a page.
func drawFolded(t *rapid.T) Message {
	text := func(label string) string { return rapid.StringN(0, 20, -1).Draw(t, label) }
	m := drawMessage(t)
	m.Replies, m.Pinned = rapid.Uint64Range(0, MaxNumber).Draw(t, "replies"), rapid.Bool().Draw(t, "pinned")
	if m.Pinned {
		m.PinnedAt = rapid.Uint64Range(0, MaxNumber).Draw(t, "pinned at")
	}
	for range rapid.IntRange(0, 3).Draw(t, "reactions") {
		r := Reaction{Emoji: text("emoji"), Count: rapid.IntRange(1, 1e9).Draw(t, "count"), Me: rapid.Bool().Draw(t, "me")}
		for range rapid.IntRange(0, MaxReactors).Draw(t, "usernames") {
			r.Usernames = append(r.Usernames, text("username"))
		}
		m.Reactions = append(m.Reactions, r)
	}
	return m
}

func drawEntry(t *rapid.T) Entry {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return messageEntry(drawFolded(t))
	case 1:
		return changeEntry(drawChange(t))
	}
	return Entry{Seq: rapid.Uint64Range(1, MaxNumber).Draw(t, "seq")}
}

func TestDrawnEventsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		line := want.Append(nil)
		var got Event
		if err := NewReader(bytes.NewReader(line)).ReadEvent(&got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", line, diff)
		}
	})
}

// What a newer server says about people does not keep anybody from reading the rest.
func TestWordsOfNewerServers(t *testing.T) {
	for line, want := range map[string]Event{
		`{"type":"state","room":"x","kind":"secret","role":"king","flags":["locked","muted"],"head":1,"notify":"keywords"}`:                                 {Type: TypeState, Room: "x", State: &RoomState{Room: "x", Flags: kaban.FlagLocked, Head: 1}},
		`{"type":"room","room":"x","seq":1,"id":"i","username":"ann","change":"moved","kind":"secret","flags":["muted"],"time":"2026-11-24T12:00:00.007Z"}`: {Type: TypeRoom, Room: "x", Seq: 1, Change: &Change{Type: TypeRoom, Seq: 1, ID: "i", Username: "ann", Change: "moved", HasFlags: true, Time: noon}},
		`{"type":"parted","room":"x","reason":"moved"}`: {Type: TypeParted, Room: "x", Removal: "moved"},
	} {
		var got Event
		if err := NewReader(strings.NewReader(line + "\n")).ReadEvent(&got); err != nil {
			t.Errorf("%s: %v", line, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}
