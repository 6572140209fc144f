package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kaban"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 24, 12, 0, 0, 7_000_000, time.UTC)

const catID, notesID = "aaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbb"

// someFiles are those of a message.
var someFiles = func() kaban.Files {
	files, err := kaban.NewFiles(
		kaban.File{ID: catID, Name: "cat \"1\".png", Size: 70_000, Type: "image/png", Width: 640, Height: 480, Alt: "a cat \u2026 <asleep>"},
		kaban.File{ID: notesID, Name: "Notizen für später.txt", Type: "text/plain; charset=utf-8"})
	if err != nil {
		panic(err)
	}
	return files
}()

// goldenEvents has an event for each row of the protocol's tables.
var goldenEvents = []Event{
	{Type: TypeWelcome, Session: "S3CRET", Username: "ann", Server: "kaban/1.2.3", Limits: Limits{Username: 32, Content: 5000, Frame: 65536}, Heartbeat: 30 * time.Second, Ref: "r", HasRef: true},
	{Type: TypeJoined, Room: "lobby", Epoch: "E1", Head: 42, Members: 3},
	{Type: TypeMessage, Room: "lobby", Seq: 43, ID: "b-1", Username: "bob", Content: "say \"hi\"\n\\o/ \u2028 😀", Time: noon},
	{Type: TypeAck, Room: "lobby", ID: "a-1", Seq: 44, Time: noon, Ref: "", HasRef: true},
	{Type: TypeAck, Room: "lobby", ID: "a-1", Seq: 44, Time: noon, Duplicate: true},
	{Type: TypeHistory, Room: "lobby", More: true, First: 1, Last: 2, Entries: []Entry{
		messageEntry(Message{Seq: 1, ID: "x", Username: "ann", Content: "one", Time: noon}),
		messageEntry(Message{Seq: 2, ID: "y", Username: "ci", Account: "A2", Bot: true, Content: "two", Time: noon.Add(time.Second)}),
	}},
	{Type: TypeHistory, Room: "lobby"},
	{Type: TypeHistory, Room: "lobby", First: 1, Last: 4, Entries: []Entry{
		{Seq: 1},
		changeEntry(goldenChanges[0]),
		messageEntry(Message{Seq: 3, ID: "z", Username: "ann", Content: "three", Time: noon}),
		{Seq: 4},
	}},
	{Type: TypeMessage, Room: "@abcdefghijklmnopqrstuvwxyz", Seq: 1, ID: "b-2", Username: "bob", AuthorID: "A1", Content: "psst", Time: noon},
	{Type: TypeMessage, Room: "lobby", Seq: 44, ID: "h-1", Username: "deploy", Bot: true, Content: "done", Time: noon},
	{Type: TypeMessage, Room: "lobby", Seq: 46, ID: "b-3", Username: "bob", Content: "look", Files: someFiles, Time: noon, Edited: Edited{Seq: 47, Time: noon}},
	{Type: TypeHistory, Room: "lobby", First: 46, Last: 46, Entries: []Entry{
		messageEntry(Message{Seq: 46, ID: "b-3", Username: "bob", Files: someFiles, Time: noon, Pinned: true}),
	}},
	{Type: TypeUnknown, Room: "lobby", Seq: 45},
	{Type: TypeParted, Room: "lobby"},
	{Type: TypeParted, Room: "lobby", Removal: RemovalKicked},
	{Type: TypeWelcome, Username: "ann", Server: "kaban/1.2.3", Limits: Limits{32, 5000, 65536, 512, 256}, Heartbeat: 30 * time.Second, Account: &Account{Username: "ann", Name: "Ann O.", Role: kaban.RoleOwner}, Token: "T0KEN", Web: "https://chat.example"},
	{Type: TypeWatching, Room: "lobby", Epoch: "E1", Head: 42, Members: 3, Ref: "w", HasRef: true},
	{Type: TypeOK, Ref: "r", HasRef: true},
	{Type: TypeCreated, Room: "@abcdefghijklmnopqrstuvwxyz"},
	{Type: TypeMe, Account: &Account{Username: "ci", Name: "CI", Role: kaban.RoleMember, Bot: true}, More: true, States: []RoomState{
		{Room: "@abcdefghijklmnopqrstuvwxyz", Kind: kaban.RoomDirect, Title: "ann, bob", Role: kaban.RoomRoleMember, Head: 7, Read: 7, Notify: kaban.NotifyAll},
		{Room: "ops", Kind: kaban.RoomPrivate, Topic: "on \"call\"", Role: kaban.RoomRoleOp, Flags: kaban.FlagLocked | kaban.FlagArchived, History: "joined", Head: 9, Read: 3, Unread: 5, Mentions: 1, Notify: kaban.NotifyMentions},
	}},
	{Type: TypeMe, Account: &Account{Username: "ann", Role: kaban.RoleGuest}, Keywords: []string{"deploy", "on \"call\""}, Quiet: &Quiet{From: "22:00", To: "07:00", Zone: "Europe/Berlin", Days: []string{"sat", "sun"}, Until: 1_800_000_000_000}},
	{Type: TypeMe, Quiet: &Quiet{Until: 1_800_000_000_000}},
	{Type: TypeMe, Account: &Account{Username: "ann", Role: kaban.RoleMember}, Level: kaban.NotifyAll},
	{Type: TypeNotifications, Keywords: []string{"deploy"}, Quiet: &Quiet{Until: 1_800_000_000_000}, Level: kaban.NotifyNone},
	{Type: TypeNotifications},
	{Type: TypeMe},
	{Type: TypeInbox, Mentions: []Mention{
		{Room: "ops", Seq: 7, ID: "m-7", Username: "ann", Account: "A1", Content: "@ci \"look\"", Time: time.UnixMilli(1_800_000_000_007).UTC(), Cause: CauseName},
		{Room: "@abcdefghijklmnopqrstuvwxyz", Seq: 3, ID: "m-3", Username: "bot", Bot: true, Content: "@here", Files: someFiles, Time: time.UnixMilli(1_800_000_000_000).UTC(), Cause: CauseHere},
	}, More: true, Next: 1_800_000_000_000_003, Ref: "i", HasRef: true},
	{Type: TypeInbox},
	{Type: TypeState, Room: "ops", State: &RoomState{Room: "ops", Kind: kaban.RoomPublic, Role: kaban.RoomRoleSpeaker, Flags: kaban.FlagAnnounce, Head: 9, Read: 9, Notify: kaban.NotifyNone}},
	{Type: TypeState, Room: "ops", State: &RoomState{Room: "ops", Kind: kaban.RoomPublic, Role: kaban.RoomRoleMember, Head: 9, Read: 9, UnreadFrom: 4, Notify: kaban.NotifyAll}},
	{Type: TypeState, Room: "ops", State: &RoomState{Room: "ops", Gone: true}},
	{Type: TypeMembers, Room: "ops", Usernames: []string{"ann", "ci", "cid"}, People: []Member{
		{Username: "ann", Account: "A1", Name: "Ann O.", Role: kaban.RoomRoleOp, Online: true},
		{Username: "ci", Account: "A2", Role: kaban.RoomRoleMember, Bot: true},
		{Username: "cid", Role: kaban.RoomRoleMember, Online: true, Away: true, Status: "lunch", Until: 1_800_000_000_000},
	}},
	{Type: TypeError, Code: CodeRateLimited, Text: "too fast", RetryAfter: time.Minute},
	{Type: TypeRooms, Rooms: []RoomInfo{{"lobby", 44, 2}, {"ops", 0, 1}}},
	{Type: TypeMembers, Room: "lobby", Usernames: []string{"ann", "bob"}, More: true},
	{Type: TypePing},
	{Type: TypePong, Ref: "p", HasRef: true},
	{Type: TypePresence, Room: "lobby", Members: 2, Joined: []string{"ann"}, Left: []string{"cid", "dan"}},
	{Type: TypePresence, Room: "lobby", Members: 300},
	{Type: TypeTyping, Room: "lobby", Usernames: []string{"ann", "ben"}},
	{Type: TypeTyping, Room: "lobby", Usernames: []string{}},
	{Type: TypeError, Code: CodeTooLongContent, Text: "too long", Field: "content", Max: 5000, Actual: 5001, Ref: "r", HasRef: true},
	{Type: TypeError, Code: CodeBadLimit, Text: "bad limit", Field: "limit", Max: 500, Actual: -1},
	{Type: TypeError, Code: CodeInvalidCharsContent, Text: "bad", Position: 0, HasPosition: true},
	{Type: TypeError, Code: CodeStorageFull, Text: "full", Room: "lobby", ID: "a-1", RetryAfter: 1500 * time.Millisecond},
	{Type: TypeError, Code: CodeResync, Text: "gone", Room: "lobby", Epoch: "E2", Head: 0, Oldest: 1},
	{Type: TypeGoodbye, Reason: ReasonDraining, ReconnectAfter: 1250 * time.Millisecond, HasReconnect: true},
	{Type: TypeGoodbye, Reason: ReasonProtocol},
	{Type: TypeMessage, Room: "lobby", Seq: 46, ID: "b-3", Username: "bob", ReplyTo: 43, Content: "sure", Time: noon},
	{Type: TypeMessage, Room: "lobby", Seq: 47, ID: "b-4", Username: "bob", AuthorID: "A1", ReplyTo: 43, Content: "new", Time: noon, Edited: Edited{49, noon.Add(time.Minute)}},
	{Type: TypeMessage, Room: "lobby", Seq: 48, ID: "b-5", Username: "ci", Bot: true, Time: noon, Edited: Edited{49, noon}, Deleted: true},
	{Type: TypeHistory, Room: "lobby", First: 1, Last: 9, AsOf: 12, Entries: []Entry{
		asOf(12, messageEntry(Message{Seq: 1, ID: "x", Username: "ann", Content: "one", Time: noon, Reactions: []Reaction{
			{Emoji: "👍", Count: 7, Me: true, Usernames: []string{"ann", "bob", "cid", "dan", "eve"}}, {Emoji: "❤️", Count: 1, Usernames: []string{"ann"}}, {Emoji: "🎉", Count: 3},
		}, Replies: 2, Pinned: true, PinnedAt: 11})),
		asOf(12, messageEntry(Message{Seq: 4, ID: "y", Username: "ci", Account: "A2", Bot: true, ReplyTo: 1, Content: "two", Time: noon, Edited: Edited{6, noon}, Replies: 1})),
		asOf(12, messageEntry(Message{Seq: 9, ID: "z", Username: "ann", ReplyTo: 4, Time: noon, Deleted: true})),
	}},
	{Type: TypeHistory, Room: "lobby", First: 10, Last: 12, AsOf: 12},
	{Type: TypeFound, More: true, Next: 7_654_321, Ref: "s", HasRef: true, Hits: []Hit{
		{Room: "lobby", Seq: 43, ID: "b-1", Username: "bob", Account: "A1", Time: noon, Snippet: "…the deploy of 東京都 failed", Marks: []Mark{{5, 6}, {15, 2}}},
		{Room: "@abcdefghijklmnopqrstuvwxyz", Seq: 1, ID: "b-2", Username: "ci", Bot: true, Time: noon, Snippet: "deploy\n🎉", Marks: []Mark{{0, 6}}},
		{Room: "dev", Seq: 9, ID: "x", Username: "ann", Time: noon, Snippet: "found by its author"},
		{Room: "dev", Seq: 7, ID: "y", Username: "ann", Time: noon, Files: someFiles},
	}},
	{Type: TypeFound, Partial: true},
}

// goldenChanges has a change for each row of the protocol's tables.
var goldenChanges = []Change{
	{Type: TypeTopic, Seq: 2, ID: "t-1", Username: "ann", Topic: "a \"topic\"", Time: noon},
	{Type: TypeTopic, Seq: 3, ID: "t-2", Username: "ann", Account: "A1", Time: noon},
	{Type: TypeMember, Seq: 4, ID: "k-1", Username: "ann", Account: "A1", Subject: "bob", Change: "kicked", Reason: "spam", Time: noon},
	{Type: TypeMember, Seq: 5, ID: "k-2", Username: "ann", Subject: "bob", Change: "banned", Until: 1_800_000_000_000, Time: noon},
	{Type: TypeMember, Seq: 6, ID: "k-3", Username: "ci", Account: "A2", Bot: true, Subject: "cid", Change: "role", Role: kaban.RoomRoleOp, Time: noon},
	{Type: TypeRoom, Seq: 7, ID: "s-1", Username: "ann", Change: "created", Kind: kaban.RoomPrivate, Time: noon},
	{Type: TypeRoom, Seq: 8, ID: "s-2", Username: "ann", Change: "set", HasFlags: true, Flags: kaban.FlagAnnounce | kaban.FlagLocked, History: HistoryJoined, HasArchived: true, Archived: true, Time: noon},
	{Type: TypeRoom, Seq: 9, ID: "s-3", Username: "ann", Change: "set", HasFlags: true, HasArchived: true, Time: noon},
	{Type: TypeEdit, Seq: 10, ID: "e-1", Username: "ann", Account: "A1", Target: 3, Content: "say \"hi\"\n😀", Time: noon},
	{Type: TypeEdit, Seq: 11, ID: "e-2", Username: "ann", Target: 3, Time: noon},
	{Type: TypeEdit, Seq: 11, ID: "e-3", Username: "ann", Target: 3, NoText: true, Time: noon},
	{Type: TypeDelete, Seq: 12, ID: "d-1", Username: "ann", Target: 3, Time: noon},
	{Type: TypeDelete, Seq: 13, ID: "d-2", Username: "ann", Account: "A1", Target: 3, Reason: "spam", Time: noon},
	{Type: TypeReact, Seq: 14, ID: "r-1", Username: "ann", Target: 3, Emoji: "👍🏽", On: true, Time: noon},
	{Type: TypeReact, Seq: 15, ID: "r-2", Username: "ci", Account: "A2", Bot: true, Target: 3, Emoji: "❤️", Time: noon},
	{Type: TypePin, Seq: 16, ID: "p-1", Username: "ann", Target: MaxNumber, On: true, Time: noon},
	{Type: TypePin, Seq: 17, ID: "p-2", Username: "ann", Target: 1, Time: noon},
}

func init() {
	for i := range goldenChanges {
		c := &goldenChanges[i]
		goldenEvents = append(goldenEvents, Event{Type: c.Type, Room: "lobby", Seq: c.Seq, Change: c})
	}
}

func messageEntry(m Message) Entry { return Entry{Seq: m.Seq, Message: &m} }

// asOf returns an entry of a page that is folded up to a seq.
func asOf(seq uint64, e Entry) Entry {
	e.AsOf = seq
	return e
}

func changeEntry(c Change) Entry { return Entry{Seq: c.Seq, Change: &c} }

func goldenRequests(t testing.TB) []Request {
	ann, bob := mustUsername(t, "ann"), mustUsername(t, "bob")
	room, _ := kaban.ParseRoomName("lobby")
	direct, _ := kaban.ParseAnyRoom("@abcdefghijklmnopqrstuvwxyz")
	id, _ := kaban.ParseMessageID("a-1")
	message, _ := kaban.NewMessage(ann, "tab\t\"quote\" 😀\nline", 100)
	return []Request{
		{Type: TypeHello, Username: ann, Resume: "S3CRET", Ref: []byte("r")},
		{Type: TypeJoin, Room: room, Epoch: "E1", After: 41, HasAfter: true},
		{Type: TypeSend, Room: room, ID: id, Message: message, Ref: []byte("r")},
		{Type: TypeHistory, Room: room, Before: 10, HasBefore: true, Limit: 50},
		{Type: TypePart, Room: room},
		{Type: TypeRooms, AfterName: "lobby", Limit: 10},
		{Type: TypeMembers, Room: room, AfterName: "ann"},
		{Type: TypePing, Ref: []byte{}},
		{Type: TypePong},
		{Type: TypeHello, Token: "T0KEN"},
		{Type: TypeHello, Username: ann, Token: "T0KEN"},
		{Type: TypeHello, Username: ann, Password: "\"correct\" horse"},
		{Type: TypeHello, Token: "kaban_device_x", Place: "a-secret-that-this-terminal-keeps"},
		{Type: TypeMe, AfterName: "lobby", Limit: 10, Ref: []byte("r")},
		{Type: TypeMe},
		{Type: TypeInbox, Before: 1_800_000_000_000_042, HasBefore: true, Limit: 10, Ref: []byte("r")},
		{Type: TypeInbox},
		{Type: TypeAway, Away: true, Status: "at \"lunch\"", Until: 1_800_000_000_000, Ref: []byte("r")},
		{Type: TypeAway},
		{Type: TypeCreate, Room: room, Kind: kaban.RoomPublic},
		{Type: TypeCreate, Room: room, Kind: kaban.RoomPrivate, Topic: "plans", Flags: kaban.FlagAnnounce | kaban.FlagLocked},
		{Type: TypeDirect, Usernames: []kaban.Username{ann, bob}},
		{Type: TypeInvite, Room: room, ID: id, Username: bob},
		{Type: TypeKick, Room: room, ID: id, Username: bob, Reason: "say \"please\""},
		{Type: TypeBan, Room: room, ID: id, Username: bob},
		{Type: TypeBan, Room: room, ID: id, Username: bob, Until: 1_800_000_000_000, Reason: "spam"},
		{Type: TypeUnban, Room: room, ID: id, Username: bob},
		{Type: TypeMute, Room: room, ID: id, Username: bob},
		{Type: TypeUnmute, Room: room, ID: id, Username: bob},
		{Type: TypeRole, Room: room, ID: id, Username: bob, Role: kaban.RoomRoleSpeaker},
		{Type: TypeTopic, Room: room, ID: id, Topic: "a \"topic\""},
		{Type: TypeTopic, Room: direct, ID: id},
		{Type: TypeSet, Room: room, ID: id, Kind: kaban.RoomPrivate, HasFlags: true, Flags: kaban.FlagLocked, History: HistoryJoined, HasArchived: true},
		{Type: TypeSet, Room: room, ID: id, HasFlags: true},
		{Type: TypeSet, Room: room, ID: id, HasArchived: true, Archived: true},
		{Type: TypeRead, Room: direct, Seq: 41},
		{Type: TypeRead, Room: room},
		{Type: TypeUnread, Room: direct, Seq: 40},
		{Type: TypeUnread, Room: room},
		{Type: TypeNotify, Room: room, Level: kaban.NotifyMentions},
		{Type: TypeWatch, Room: room, Epoch: "E1", After: 41, HasAfter: true},
		{Type: TypeWatch, Room: room},
		{Type: TypeUnwatch, Room: room},
		{Type: TypeTyping, Room: room},
		{Type: TypeSend, Room: room, ID: id, Message: message, ReplyTo: 41},
		{Type: TypeSend, Room: room, ID: id, Message: message, Files: []string{catID}, Ref: []byte("r")},
		{Type: TypeSend, Room: room, ID: id, ReplyTo: 41, Files: []string{catID, notesID}},
		{Type: TypeEdit, Room: room, ID: id, Target: 41, Message: message, Ref: []byte("r")},
		{Type: TypeEdit, Room: direct, ID: id, Target: 41, Base: 43, Message: message},
		{Type: TypeEdit, Room: room, ID: id, Target: 41},
		{Type: TypeDelete, Room: room, ID: id, Target: 41},
		{Type: TypeDelete, Room: room, ID: id, Target: 41, Reason: "say \"please\""},
		{Type: TypeReact, Room: room, ID: id, Target: 41, Emoji: "👍🏽", On: true},
		{Type: TypeReact, Room: room, ID: id, Target: MaxNumber, Emoji: "👍🏽"},
		{Type: TypePin, Room: room, ID: id, Target: 1, On: true},
		{Type: TypePin, Room: room, ID: id, Target: 1},
		{Type: TypeHistory, Room: room, After: 9, HasAfter: true, RepliesTo: 41},
		{Type: TypeHistory, Room: room, RepliesTo: 41, Limit: 5},
		{Type: TypeSearch, Query: "deploy \"two words\" 東京", Ref: []byte("s")},
		{Type: TypeSearch, Query: "from:ann", Room: room, Zone: "Europe/Berlin", Before: 7_654_321, HasBefore: true, Limit: 20},
	}
}

func TestGolden(t *testing.T) {
	var events, requests []byte
	for i := range goldenEvents {
		events = goldenEvents[i].Append(events)
	}
	for _, q := range goldenRequests(t) {
		requests = q.Append(requests)
	}
	for path, got := range map[string][]byte{"testdata/events.golden": events, "testdata/requests.golden": requests} {
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", path, diff)
		}
		for line := range bytes.Lines(got) {
			if !json.Valid(line) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
}

func TestEventsComeBack(t *testing.T) {
	for _, want := range goldenEvents {
		line := want.Append(nil)
		var got Event
		if err := NewReader(bytes.NewReader(line)).ReadEvent(&got); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestBadEvents(t *testing.T) {
	for line, want := range map[string]Code{
		`{"type":"history","room":"l","messages":[{"type":"topic","topic":"x"}]}`:         CodeMissingField,
		`{"type":"topic","room":"lobby","seq":0}`:                                         CodeMissingField,
		`{"type":"me","rooms":[{"room":"x","kind":"public"}]}`:                            CodeMissingField,
		`{"type":"me","rooms":[["x"]]}`:                                                   CodeBadField,
		`{"type":"me","rooms":[],"account":"A1"}`:                                         CodeBadField,
		`{"type":"state","kind":"public","head":1}`:                                       CodeMissingField,
		`{"type":"state","room":"x","kind":"public","head":1,"flags":"locked"}`:           CodeBadField,
		`{"type":"created"}`:                                                              CodeMissingField,
		`{"type":"watching","room":"x"}`:                                                  CodeMissingField,
		`{"type":"members","room":"l","usernames":[],"members":3}`:                        CodeBadField,
		`{"type":"welcome","username":"u"}`:                                               CodeMissingField,
		`{"type":"later"}`:                                                                CodeUnknownType,
		`{"type":"hello"}`:                                                                CodeUnknownType,
		`{"type":"later","room":"lobby"}`:                                                 CodeUnknownType,
		`{"type":"later","seq":1}`:                                                        CodeUnknownType,
		`{"type":"later","room":"lobby","seq":0}`:                                         CodeUnknownType,
		`{"type":"later","room":"lobby","seq":"1"}`:                                       CodeUnknownType,
		`{"type":"later","room":["lobby"],"seq":1}`:                                       CodeUnknownType,
		`{"type":"history","room":"l","messages":[{"type":"edit"}]}`:                      CodeMissingField,
		`{"type":"message","room":"lobby"}`:                                               CodeMissingField,
		`{"type":"ack","room":"l","id":"1","seq":1,"time":"x"}`:                           CodeBadField,
		`{"type":"history","room":"l","messages":[1]}`:                                    CodeBadField,
		`{"type":"history","room":"l","messages":[{}]}`:                                   CodeMissingField,
		`{"type":"history","room":"l","messages":{}}`:                                     CodeBadField,
		`{"type":"members","room":"l","usernames":["a",1]}`:                               CodeBadField,
		`{"type":"members","room":"l"}`:                                                   CodeMissingField,
		`{"type":"joined","room":"l","epoch":"e","head":-1}`:                              CodeBadField,
		`{"type":"welcome","session":"s","username":"u","limits":{"content":"x"}}`:        CodeBadField,
		`{"type":"rooms","rooms":[{"room":"l","room":"l","head":1}]}`:                     CodeBadFrame,
		`{"type":"goodbye"}`:                                                              CodeMissingField,
		badMessage(`"content":"x","reply_to":"1"`):                                        CodeBadField,
		badMessage(`"content":"x","reply_to":-1`):                                         CodeBadField,
		badMessage(`"content":"x","edited":true`):                                         CodeBadField,
		badMessage(`"content":"x","edited":{"seq":7}`):                                    CodeMissingField,
		badMessage(`"content":"x","edited":{"time":"2026-11-24T12:00:00.007Z"}`):          CodeMissingField,
		badMessage(`"content":"x","edited":{"seq":0,"time":"2026-11-24T12:00:00.007Z"}`):  CodeBadField,
		badMessage(`"content":"x","edited":{"seq":7,"time":"noon"}`):                      CodeBadField,
		badMessage(`"content":"x","deleted":1`):                                           CodeBadField,
		badMessage(`"deleted":false`):                                                     CodeMissingField,
		badMessage(`"content":"x","reactions":{}`):                                        CodeBadField,
		badMessage(`"content":"x","reactions":["👍"]`):                                     CodeBadField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍"}]`):                           CodeMissingField,
		badMessage(`"content":"x","reactions":[{"count":1}]`):                             CodeMissingField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍","count":0}]`):                 CodeBadField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍","count":-1}]`):                CodeBadField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍","count":1.5}]`):               CodeBadField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍","count":1,"me":1}]`):          CodeBadField,
		badMessage(`"content":"x","reactions":[{"emoji":"👍","count":1,"usernames":[1]}]`): CodeBadField,
		badMessage(`"content":"x","replies":-1`):                                          CodeBadField,
		badMessage(`"content":"x","pinned":"yes"`):                                        CodeBadField,
		`{"type":"history","room":"l","messages":[],"as_of":-1}`:                          CodeBadField,
		`{"type":"history","room":"l","messages":[],"as_of":"1"}`:                         CodeBadField,
		`nonsense`: CodeBadJSON,
	} {
		var e Event
		if err := NewReader(strings.NewReader(line + "\n")).ReadEvent(&e); CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
}

// badMessage returns a page with one message that has some fields beside the usual ones.
func badMessage(fields string) string {
	return `{"type":"history","room":"l","messages":[{"type":"message","seq":1,"id":"x","username":"ann","time":"2026-11-24T12:00:00.007Z",` + fields + `}]}`
}

// A frame with a room and a seq is an entry, whatever else it says.
func TestEntriesOfUnknownKinds(t *testing.T) {
	for _, line := range []string{
		`{"type":"edit","room":"lobby","seq":7,"id":"x","target":3,"content":{"new":1},"time":7}`,
		`{"type":"edit","room":"lobby","seq":7,"id":"x","username":"ann","time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"edit","room":"lobby","seq":7,"id":"x","username":"ann","target":0,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"edit","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"content":["new"],"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"delete","room":"lobby","seq":7,"id":"x","username":"ann","target":-3,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"delete","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"reason":1,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"react","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"on":true,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"react","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"emoji":"👍","time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"pin","room":"lobby","seq":7,"id":"x","username":"ann","target":"3","on":true,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"pin","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"on":1,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"pin","room":"lobby","seq":7,"id":"x","username":"ann","target":3,"time":"2026-11-24T12:00:00.007Z"}`,
		`{"type":"member","seq":7,"room":"lobby","ref":5,"members":"all"}`,
		`{"type":"send","room":"lobby","seq":7}`,
		`{"type":"role","room":"lobby","seq":7}`,
		`{"type":"topic","room":"lobby","seq":7,"topic":[]}`,
		`{"type":"room","room":"lobby","seq":7,"id":"x","username":"ann","change":{},"time":"2026-11-24T12:00:00.007Z"}`,
	} {
		var e Event
		if err := NewReader(strings.NewReader(line + "\n")).ReadEvent(&e); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(Event{Type: TypeUnknown, Room: "lobby", Seq: 7}, e); diff != "" || !e.IsEntry() {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	var e Event
	page := `{"type":"history","room":"lobby","messages":[{"type":"pin","seq":1,"time":0},{"type":"message","seq":2,"id":"i","username":"ann","content":"x","time":"2026-11-24T02:35:37.101Z"},{"type":"message2","seq":3},{"type":"topic","seq":4,"topic":{"new":true}}]}`
	if err := NewReader(strings.NewReader(page + "\n")).ReadEvent(&e); err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Seq: 1}, messageEntry(Message{Seq: 2, ID: "i", Username: "ann", Content: "x", Time: time.Date(2026, 11, 24, 2, 35, 37, 101e6, time.UTC)}), {Seq: 3}, {Seq: 4}}
	if diff := cmp.Diff(want, e.Entries); diff != "" {
		t.Errorf("a page with unknown entries (-want +got):\n%s", diff)
	}
}

// Messages that nothing has changed take no more memory to write than before there were
// changes.
func TestAppendMessageDoesNotAllocate(t *testing.T) {
	buffer := make([]byte, 0, 1024)
	for name, m := range map[string]Message{
		"plain":   {Seq: 12345, ID: "abcdefgh-12", Username: "ann", Content: "hello", Time: noon},
		"changed": {Seq: 12345, ID: "abcdefgh-12", Username: "ann", ReplyTo: 7, Content: "hello", Time: noon, Edited: Edited{12346, noon}},
	} {
		if n := testing.AllocsPerRun(100, func() { AppendMessage(buffer, "lobby", m) }); n != 0 {
			t.Errorf("a %s message takes %v allocations", name, n)
		}
	}
}

func TestAppendRepairs(t *testing.T) {
	e := Event{Type: TypeError, Code: CodeInternal, Text: "bad \xff and \x01\b\f\r"}
	if got, want := string(e.Append(nil)), `{"type":"error","code":"internal","message":"bad `+"\ufffd"+` and \u0001\b\f\r"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, at := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := appendTime(nil, at); len(got) != len(`"2026-11-24T12:00:00.007Z"`) {
			t.Errorf("got %s", got)
		}
	}
	if Type(99).String() != "unknown" {
		t.Error("an unknown type has a name")
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, q := range goldenRequests(f) {
		f.Add(q.Append(nil))
	}
	f.Add([]byte("{\"ty\\u0070e\":\"ping\"}\n\n{\"a\":[1,{}]}\r\n\xff\n"))
	ann := mustUsername(f, "ann")
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in))
		r.SetAuthor(new(kaban.Visitor(ann)))
		r.SetLimit(1 << 10)
		for range len(in) + 2 {
			var q Request
			err := r.ReadRequest(&q)
			if err == nil { // an accepted request survives a round trip
				var again Request
				second := NewReader(bytes.NewReader(q.Append(nil)))
				second.SetAuthor(new(kaban.Visitor(ann)))
				if err := second.ReadRequest(&again); err != nil || string(again.Append(nil)) != string(q.Append(nil)) {
					t.Fatalf("%s came back as %+v, %v", q.Append(nil), again, err)
				}
				if line, rest, _ := bytes.Cut(in, []byte("\n")); len(rest) == 0 {
					compareWithStandard(t, line, &q)
				}
				continue
			}
			if code := CodeOf(err); code == CodeInternal { // the source has ended
				return
			}
		}
		t.Fatal("the reader does not reach the end of the input")
	})
}

// compareWithStandard checks that encoding/json reads an accepted line the same.
func compareWithStandard(t *testing.T, line []byte, q *Request) {
	t.Helper()
	var standard map[string]any
	if err := json.Unmarshal(line, &standard); err != nil {
		t.Fatalf("%q was accepted but is not JSON: %v", line, err)
	}
	if standard["type"] != q.Type.String() {
		t.Fatalf("%q has the type %v, the reader returned %s", line, standard["type"], q.Type)
	}
	if q.Type == TypeSend && (standard["id"] != q.ID.String() || standard["content"] != q.Message.Content()) {
		t.Fatalf("%q has id %q and content %q, the reader returned %q and %q", line, standard["id"], standard["content"], q.ID, q.Message.Content())
	}
	if (q.Type == TypeTopic || q.Topic != "") && standard["topic"] != q.Topic || q.Reason != "" && standard["reason"] != q.Reason ||
		q.Token != "" && standard["token"] != string(q.Token) || q.Password != "" && standard["password"] != string(q.Password) ||
		q.Place != "" && standard["place"] != string(q.Place) {
		t.Fatalf("%q has other texts than %s", line, q.Append(nil))
	}
	if strings.ContainsFunc(q.Topic+q.Reason, unicode.IsControl) {
		t.Fatalf("%q is accepted with a control character", line)
	}
	if q.Type == TypeEdit && standard["content"] != q.Message.Content() || q.Type == TypeReact && standard["emoji"] != q.Emoji ||
		(q.Type == TypeReact || q.Type == TypePin) && standard["on"] != q.On || q.Type.ChangesMessage() && standard["target"] != float64(q.Target) {
		t.Fatalf("%q has another change than %s", line, q.Append(nil))
	}
	if q.Ref != nil && standard["ref"] != string(q.Ref) {
		t.Fatalf("%q has the ref %q, the reader returned %q", line, standard["ref"], q.Ref)
	}
}

// Every line that the reader accepts is valid JSON.
func FuzzReadEvent(f *testing.F) {
	for i := range goldenEvents {
		f.Add(goldenEvents[i].Append(nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var e Event
		if err := NewReader(bytes.NewReader(in)).ReadEvent(&e); err != nil {
			return
		}
		line, _, _ := bytes.Cut(in, []byte("\n"))
		if !json.Valid(line) {
			t.Fatalf("%q is not JSON", line)
		}
		var again Event
		if err := NewReader(bytes.NewReader(e.Append(nil))).ReadEvent(&again); err != nil {
			t.Fatalf("%q came back as %v", line, err)
		}
	})
}

func BenchmarkReadSend(b *testing.B) {
	r := NewReader(&repeat{line: `{"type":"send","room":"lobby","id":"abcdefgh-12","content":"` + strings.Repeat("x", 100) + `"}` + "\n"})
	r.SetAuthor(new(kaban.Visitor(mustUsername(b, "ann"))))
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadRequest(&q); err != nil {
			b.Fatal(err)
		}
	}
}

// encoding/json on the same line, without any of the checks.
func BenchmarkReadSendStandard(b *testing.B) {
	line := []byte(`{"type":"send","room":"lobby","id":"abcdefgh-12","content":"` + strings.Repeat("x", 100) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		var q struct{ Type, Room, ID, Content string }
		if err := json.Unmarshal(line, &q); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkReadEvent(b *testing.B, line string) {
	r := NewReader(&repeat{line: line + "\n"})
	var e Event
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadEvent(&e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadMessage(b *testing.B) {
	benchmarkReadEvent(b, `{"type":"message","room":"lobby","seq":12345,"id":"abcdefgh-12","username":"ann","content":"`+strings.Repeat("x", 100)+`","time":"2026-11-24T12:00:00.007Z"}`)
}

func BenchmarkReadAck(b *testing.B) {
	benchmarkReadEvent(b, `{"type":"ack","room":"lobby","id":"abcdefgh-12","seq":12345,"time":"2026-11-24T12:00:00.007Z","duplicate":false,"ref":"17"}`)
}

func BenchmarkAppendMessage(b *testing.B) {
	m := Message{Seq: 12345, ID: "abcdefgh-12", Username: "ann", Content: strings.Repeat("x", 100), Time: noon}
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		AppendMessage(buffer, "lobby", m)
	}
}
