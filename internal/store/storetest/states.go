package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
)

// stateTests are the tests of what becomes of messages, one for each rule.
func (d *Driver) stateTests() []test {
	return []test{
		{"messages are edited, deleted, reacted to, pinned and answered", testStory},
		{"the target of a change is a message before it in the same room", testTargets},
		{"nothing changes what was deleted", testGone},
		{"an edit replaces the version that it names", testEditBase},
		{"edits replace the content", testEdits},
		{"a message that was changed is sent again", testRepeatedMessages},
		{"changes are sent again", testRepeatedChanges},
		{"changes that make no difference are sent again", testNoops},
		{"many changes make no difference", testManyNoops},
		{"reactions come and go", testReactions},
		{"a message has a limit of reactions", testReactionLimits},
		{"pins come and go", testPins},
		{"replies are counted", testReplies},
		{"writes are allowed by their present target", testAllow},
		{"a change that is not stored has decided nothing", testDecidedChanges},
		{"entries of other kinds change no message", testOtherKinds},
		{"a message and its changes in one batch, in every order", testBatchOrders},
		{"the first entry of an author is a change", testNewAuthors},
		{"entries that were returned never change", testReturnedEntries},
		{"history has messages without their changes", testHistory},
		{"history of the replies to a message", testHistoryOfReplies},
		{"a page of history ends early at its limit of bytes", testHistoryBytes},
		{"history is walked from both ends", testHistoryWalk},
		{"history passes over many changes", testManyChanges},
		{"history passes over runs of changes of all lengths", testRunsOfChanges},
		{"history is of one moment", func(t *testing.T, s store.Store) { testOneMoment(t, s, s) }},
		{"messages mention accounts", testMentions},
		{"many messages mention an account", testManyMentions},
		{"mentions are forgotten", testForgetMentions},
		{"the front of a log is cut", testCut},
		{"a log is cut by the times of its entries", testCutByTime},
		{"a log that is cut whole goes on", testCutWhole},
		{"what is unread is what is kept of others behind a mark", testUnreadOfCut},
		{"entries are redacted", testRedact},
		{"messages have files", testFiles},
		{"a message with files is sent again", testRepeatedFiles},
		{"files count for the limit of a page", testFileBytes},
		{"messages that are gone release their files", testReleased},
		{"random changes", d.testRandomChanges},
	}
}

// change returns the draft of an entry for the lobby.
func change(t testing.TB, kind kaban.Kind, author, id string, target uint64, body string) kaban.Draft {
	t.Helper()
	d := Draft(t, "lobby", author, id, "x")
	d.Kind, d.Target, d.Body = kind, target, body
	return d
}

func message(t testing.TB, author, id, content string) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindMessage, author, id, 0, content)
}

func reply(t testing.TB, author, id string, target uint64, content string) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindMessage, author, id, target, content)
}

func edit(t testing.TB, author, id string, target uint64, content string) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindEdit, author, id, target, content)
}

// editOf is an edit of a version.
func editOf(t testing.TB, author, id string, target, base uint64, content string) kaban.Draft {
	t.Helper()
	d := edit(t, author, id, target, content)
	d.Base = base
	return d
}

func remove(t testing.TB, author, id string, target uint64, reason string) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindDelete, author, id, target, reason)
}

func react(t testing.TB, author, id string, target uint64, on bool, emoji string) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindReact, author, id, target, kaban.Switch(on, emoji))
}

func pin(t testing.TB, author, id string, target uint64, on bool) kaban.Draft {
	t.Helper()
	return change(t, kaban.KindPin, author, id, target, kaban.Switch(on, ""))
}

// everyChange returns a draft about a message of each kind that there is, all with one id.
func everyChange(t testing.TB, author, id string, target uint64) []kaban.Draft {
	t.Helper()
	return []kaban.Draft{
		edit(t, author, id, target, "edited"), editOf(t, author, id, target, target, "edited"), remove(t, author, id, target, "spam"),
		react(t, author, id, target, true, "👍"), react(t, author, id, target, false, "👍"),
		pin(t, author, id, target, true), pin(t, author, id, target, false), reply(t, author, id, target, "an answer"),
	}
}

// line is a write of a script, and the result that it must have.
type line struct {
	store.Write
	want store.Result
}

func says(d kaban.Draft, want store.Result) line { return line{store.Write{Draft: d}, want} }

// stored, known and refused are the results of lines.
func stored(seq uint64) store.Result { return store.Result{Seq: seq} }
func known(seq uint64) store.Result  { return store.Result{Seq: seq, Duplicate: true} }
func refused(err error) store.Result { return store.Result{Err: err} }

// play appends a script to two rooms, to one line by line and to the other in one batch. Of
// several stores it takes one after the other. Each room must then have the entries and the
// history that describe returns.
func play(t *testing.T, script []line, entries, history []string, handles ...store.Store) {
	t.Helper()
	for _, way := range []string{"line-by-line", "in-one-batch"} {
		room := RoomName(t, way)
		lines := slices.Clone(script)
		for i := range lines {
			lines[i].Room = room
		}
		if way == "in-one-batch" {
			playBatch(t, handles[0], way, lines)
		} else {
			for i := range lines {
				playBatch(t, handles[i%len(handles)], fmt.Sprint(way, ", line ", i), lines[i:i+1])
			}
		}
		for _, s := range handles {
			wantLog(t, s, room, entries, history)
		}
	}
}

// playBatch appends lines of one room in one batch.
func playBatch(t *testing.T, s store.Store, what string, lines []line) {
	t.Helper()
	batch := make([]store.Write, len(lines))
	for i := range lines {
		batch[i] = lines[i].Write
	}
	results := appendWrites(t, s, batch...)
	times := make(map[uint64]int64)
	for _, e := range read(t, s, lines[0].Room) {
		times[e.Seq] = e.Time
	}
	for i := range lines {
		got, want := results[i], lines[i].want
		if got.Seq != want.Seq || got.Duplicate != want.Duplicate || !errors.Is(got.Err, want.Err) {
			t.Errorf("%s: write %d, %+v: %+v, want %+v", what, i, lines[i].Draft, got, want)
		}
		if got.Time != times[got.Seq] {
			t.Errorf("%s: write %d, %+v: the time is %d, that of entry %d is %d", what, i, lines[i].Draft, got.Time, got.Seq, times[got.Seq])
		}
	}
}

// describe returns an entry in one line, such as "1 ann: hello (edited 2, 👍 bob 3)". The
// numbers are those of entries.
func describe(e *store.Entry) string {
	verb := map[kaban.Kind]string{
		kaban.KindMessage: "answers", kaban.KindEdit: "edits", kaban.KindDelete: "deletes",
		kaban.KindReact: "reacts to", kaban.KindPin: "pins",
	}[e.Kind]
	if verb == "" {
		verb = fmt.Sprintf("kind %d of", e.Kind)
	}
	text := fmt.Sprintf("%d %s", e.Seq, e.Username)
	if e.Kind != kaban.KindMessage || e.Target != 0 {
		text += fmt.Sprintf(" %s %d", verb, e.Target)
	}
	if e.Content != "" {
		text += ": " + e.Content
	}
	for i, f := range filesOf(e) {
		text += []string{" with ", ", "}[min(i, 1)] + f.Name
	}
	if e.State != nil {
		text += " (" + strings.Join(describeState(e.State), ", ") + ")"
	}
	return text
}

func describeState(s *store.State) (parts []string) {
	for _, c := range []struct {
		name string
		store.Change
	}{{"edited", s.Edited}, {"deleted", s.Deleted}, {"pinned", s.Pinned}} {
		if c.Change != (store.Change{}) {
			parts = append(parts, fmt.Sprintf("%s %d", c.name, c.Seq))
		}
	}
	if s.Replies != 0 {
		parts = append(parts, fmt.Sprintf("%d replies", s.Replies))
	}
	for _, r := range s.Reactions {
		part := r.Emoji
		for _, p := range r.People {
			part += fmt.Sprintf(" %s %d", p.Username, p.Seq)
		}
		parts = append(parts, part)
	}
	return parts
}

func describeAll(entries []store.Entry) (lines []string) {
	for i := range entries {
		lines = append(lines, describe(&entries[i]))
	}
	return lines
}

// readHistory returns a page or fails the test.
func readHistory(t *testing.T, s store.Store, room kaban.RoomName, page store.Page) store.History {
	t.Helper()
	h, err := s.History(context.Background(), room, page)
	if err != nil {
		t.Fatalf("History of %s, %+v: %v", room, page, err)
	}
	return h
}

// all is a page of everything.
var all = store.Page{Limit: 1 << 20}

// wantLog compares all entries of a room and its history with the lines of describe. The
// times in the states must be those of the entries.
func wantLog(t *testing.T, s store.Store, room kaban.RoomName, entries, history []string) {
	t.Helper()
	got := read(t, s, room)
	if diff := cmp.Diff(entries, describeAll(got)); diff != "" {
		t.Errorf("Read of %s (-want +got):\n%s", room, diff)
	}
	h := readHistory(t, s, room, all)
	if diff := cmp.Diff(history, describeAll(h.Entries)); diff != "" {
		t.Errorf("History of %s (-want +got):\n%s", room, diff)
	}
	if head := uint64(len(entries)); h.First != 1 || h.Last != head || h.AsOf != head {
		t.Errorf("History of %s is %d to %d as of %d, want 1 to %d as of that", room, h.First, h.Last, h.AsOf, head)
	}
	times := map[uint64]int64{0: 0}
	for _, e := range got {
		times[e.Seq] = e.Time
	}
	for _, e := range slices.Concat(got, h.Entries) {
		if e.State == nil {
			continue
		}
		changes := []store.Change{e.State.Edited, e.State.Deleted, e.State.Pinned}
		for _, r := range e.State.Reactions {
			for _, p := range r.People {
				changes = append(changes, p.Change)
			}
		}
		for _, c := range changes {
			if c.Time != times[c.Seq] {
				t.Errorf("%s: in the state of %d the time of %d is %d, want %d", room, e.Seq, c.Seq, c.Time, times[c.Seq])
			}
		}
	}
}

// story is a script with all that messages can become, the entries after it and the history.
func story(t *testing.T) (script []line, entries, history []string) {
	t.Helper()
	renamed := react(t, "robert", "b6", 6, true, "👍")
	renamed.Author = kaban.Account("17", Username(t, "robert"))
	script = []line{
		says(message(t, "ann", "a1", "helo"), stored(1)),
		says(edit(t, "ann", "a2", 1, "hello"), stored(2)),
		says(with(reply(t, "bob", "b1", 1, "hi"), Files(t, "cat.png")), stored(3)),
		says(react(t, "bob", "b2", 1, true, "👍"), stored(4)),
		says(react(t, "ann", "a3", 3, true, "🎉"), stored(5)),
		says(with(message(t, "carol", "c1", "spam"), Files(t, "spam.png", "spam.pdf")), stored(6)),
		says(react(t, "carol", "c2", 6, true, "👍"), stored(7)),
		says(edit(t, "carol", "c3", 6, "more spam"), stored(8)),
		says(pin(t, "carol", "c4", 6, true), stored(9)),
		says(reply(t, "ann", "a4", 6, "no, please"), stored(10)),
		says(remove(t, "bob", "b3", 6, "it is spam"), stored(11)),
		says(pin(t, "bob", "b4", 1, true), stored(12)),
		says(react(t, "carol", "c5", 1, true, "👍"), stored(13)),
		says(editOf(t, "ann", "a5", 1, 2, "Hello"), stored(14)),
		says(change(t, kaban.KindTopic, "ann", "a6", 0, "cats"), stored(15)),
		says(react(t, "bob", "b5", 1, false, "👍"), stored(16)),
		says(renamed, refused(store.ErrGone)),
		says(remove(t, "ann", "a7", 10, ""), stored(17)),
		says(reply(t, "carol", "c6", 1, "hey"), stored(18)),
		says(react(t, "dan", "d1", 1, true, "👍"), stored(19)),
		says(react(t, "ann", "a8", 1, true, "🎉"), stored(20)),
	}
	entries = []string{
		"1 ann: Hello (edited 14, pinned 12, 2 replies)", "2 ann edits 1", "3 bob answers 1: hi with cat.png", "4 bob reacts to 1: +👍",
		"5 ann reacts to 3: +🎉", "6 carol (edited 8, deleted 11, 1 replies)", "7 carol reacts to 6: +👍", "8 carol edits 6",
		"9 carol pins 6: +", "10 ann answers 6 (deleted 17)", "11 bob deletes 6: it is spam", "12 bob pins 1: +",
		"13 carol reacts to 1: +👍", "14 ann edits 1: Hello", "15 ann kind 6 of 0: cats", "16 bob reacts to 1: -👍", "17 ann deletes 10",
		"18 carol answers 1: hey", "19 dan reacts to 1: +👍", "20 ann reacts to 1: +🎉",
	}
	history = []string{
		"1 ann: Hello (edited 14, pinned 12, 2 replies, 👍 carol 13 dan 19, 🎉 ann 20)", "3 bob answers 1: hi with cat.png (🎉 ann 5)",
		"6 carol (edited 8, deleted 11, 1 replies)", "10 ann answers 6 (deleted 17)", "15 ann kind 6 of 0: cats", "18 carol answers 1: hey",
	}
	return script, entries, history
}

func testStory(t *testing.T, s store.Store) {
	script, entries, history := story(t)
	play(t, script, entries, history, s)
}

func testTargets(t *testing.T, s store.Store) {
	Append(t, s, many(t, "attic", 0, 20)...) // the lobby must not take them for its own
	script := []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(change(t, kaban.KindTopic, "ann", "t", 0, "cats"), stored(2)),
		says(change(t, 200, "ann", "u", 1, "x"), stored(3)),
		says(pin(t, "ann", "p", 1, true), stored(4)),
	}
	// The next entry is 5.
	for _, target := range []uint64{0, 2, 3, 4, 5, 6, 7, 20, 99, 1<<40 - 1, 1 << 40, 1<<53 - 1} {
		for _, d := range everyChange(t, "ann", "id", target) {
			if d.Kind != kaban.KindMessage || target != 0 {
				script = append(script, says(d, refused(store.ErrNoTarget)))
			}
		}
	}
	script = append(script, says(message(t, "ann", "id", "the id is free"), stored(5)))
	play(t, script,
		[]string{"1 ann: hello (pinned 4)", "2 ann kind 6 of 0: cats", "3 ann kind 200 of 1: x", "4 ann pins 1: +", "5 ann: the id is free"},
		[]string{"1 ann: hello (pinned 4)", "2 ann kind 6 of 0: cats", "3 ann kind 200 of 1: x", "5 ann: the id is free"}, s)

	before, err := s.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range everyChange(t, "ann", "id", 1) {
		d.Room = RoomName(t, "nowhere")
		if got := Append(t, s, d)[0]; !errors.Is(got.Err, store.ErrNoTarget) {
			t.Errorf("%+v in a room that does not exist: %+v", d, got)
		}
	}
	if rooms, err := s.Rooms(t.Context()); err != nil || len(rooms) != len(before) {
		t.Errorf("the rooms are %+v, %v; want %+v", rooms, err, before)
	}
}

func testGone(t *testing.T, s store.Store) {
	script := []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "hi"), stored(2)),
		says(edit(t, "ann", "e", 1, "Hello"), stored(3)),
		says(react(t, "bob", "r", 1, true, "👍"), stored(4)),
		says(pin(t, "bob", "p", 1, true), stored(5)),
		says(reply(t, "bob", "y", 1, "hi"), stored(6)),
		says(remove(t, "carol", "d", 1, "spam"), stored(7)),
		says(editOf(t, "ann", "id", 1, 1, "an old version"), refused(store.ErrGone)),
	}
	for i, author := range []string{"ann", "bob", "carol"} {
		for _, d := range everyChange(t, author, "id", 1) {
			script = append(script, says(d, refused(store.ErrGone)))
		}
		script = append(script, says(message(t, author, "id", "the id is free"), stored(uint64(8+i))))
	}
	script = append(script, says(react(t, "bob", "r2", 2, true, "👍"), stored(11)))
	play(t, script, []string{
		"1 ann (edited 3, deleted 7, 1 replies)", "2 ann: hi", "3 ann edits 1", "4 bob reacts to 1: +👍", "5 bob pins 1: +", "6 bob answers 1: hi",
		"7 carol deletes 1: spam", "8 ann: the id is free", "9 bob: the id is free", "10 carol: the id is free", "11 bob reacts to 2: +👍",
	}, []string{
		"1 ann (edited 3, deleted 7, 1 replies)", "2 ann: hi (👍 bob 11)", "6 bob answers 1: hi",
		"8 ann: the id is free", "9 bob: the id is free", "10 carol: the id is free",
	}, s)
}

func testEditBase(t *testing.T, s store.Store) {
	conflict := refused(store.ErrEditConflict)
	play(t, []line{
		says(message(t, "ann", "m", "0"), stored(1)),
		says(message(t, "ann", "n", "other"), stored(2)),
		says(edit(t, "ann", "n1", 2, "other"), stored(3)),
		says(editOf(t, "ann", "id", 1, 2, "x"), conflict), // another message
		says(editOf(t, "ann", "id", 1, 3, "x"), conflict), // an edit of another message
		says(editOf(t, "ann", "id", 1, 4, "x"), conflict), // the edit itself
		says(editOf(t, "ann", "id", 1, 1<<53-1, "x"), conflict),
		says(editOf(t, "ann", "1", 1, 1, "1"), stored(4)),
		says(editOf(t, "bob", "id", 1, 1, "x"), conflict),
		says(react(t, "bob", "r", 1, true, "👍"), stored(5)), // makes no version
		says(editOf(t, "bob", "id", 1, 5, "x"), conflict),
		says(editOf(t, "bob", "2", 1, 4, "2"), stored(6)),
		says(editOf(t, "ann", "id", 1, 4, "x"), conflict),
		says(editOf(t, "ann", "3", 1, 0, "3"), stored(7)),
		says(editOf(t, "ann", "4", 1, 7, "4"), stored(8)),
		says(editOf(t, "ann", "1", 1, 1, "1"), known(4)), // was right then
		says(editOf(t, "ann", "1", 1, 8, "1"), known(4)), // the base is not compared
		says(editOf(t, "ann", "id", 1, 7, "x"), conflict),
		says(message(t, "ann", "id", "the id is free"), stored(9)),
	}, []string{
		"1 ann: 4 (edited 8)", "2 ann: other (edited 3)", "3 ann edits 2: other", "4 ann edits 1", "5 bob reacts to 1: +👍",
		"6 bob edits 1", "7 ann edits 1", "8 ann edits 1: 4", "9 ann: the id is free",
	}, []string{
		"1 ann: 4 (edited 8, 👍 bob 5)", "2 ann: other (edited 3)", "9 ann: the id is free",
	}, s)
}

func testEdits(t *testing.T, s store.Store) {
	long := strings.Repeat("𐍈", kaban.DefaultMaxContent)
	play(t, []line{
		says(message(t, "ann", "m", "one"), stored(1)),
		says(message(t, "bob", "m", "two"), stored(2)),
		says(edit(t, "ann", "1", 1, "one!"), stored(3)),
		says(edit(t, "bob", "1", 2, long), stored(4)),
		says(edit(t, "carol", "1", 1, "one"), stored(5)), // as it was, by another author
		says(reply(t, "carol", "2", 1, "three"), stored(6)),
		says(edit(t, "carol", "3", 6, "3"), stored(7)),
		says(edit(t, "bob", "2", 2, "\u202e2\n\t\"two\" \\ 👩‍👩‍👧‍👦"), stored(8)),
		says(edit(t, "carol", "4", 1, "one"), stored(9)), // changes nothing but the version
	}, []string{
		"1 ann: one (edited 9, 1 replies)", "2 bob: \u202e2\n\t\"two\" \\ 👩‍👩‍👧‍👦 (edited 8)", "3 ann edits 1", "4 bob edits 2", "5 carol edits 1",
		"6 carol answers 1: 3 (edited 7)", "7 carol edits 6: 3", "8 bob edits 2: \u202e2\n\t\"two\" \\ 👩‍👩‍👧‍👦", "9 carol edits 1: one",
	}, []string{
		"1 ann: one (edited 9, 1 replies)", "2 bob: \u202e2\n\t\"two\" \\ 👩‍👩‍👧‍👦 (edited 8)", "6 carol answers 1: 3 (edited 7)",
	}, s)
	for _, way := range []string{"line-by-line", "in-one-batch"} {
		d := edit(t, "ann", "long", 1, long)
		d.Room = RoomName(t, way)
		Append(t, s, d)
		for _, e := range slices.Concat(read(t, s, d.Room)[9:], readHistory(t, s, d.Room, store.Page{Limit: 1}).Entries) {
			if e.Content != long {
				t.Errorf("a long edit is read back as %d bytes, want %d", len(e.Content), len(long))
			}
		}
	}
}

// The content that was appended is the one that is compared, until it is deleted.
func testRepeatedMessages(t *testing.T, s store.Store) {
	conflict := refused(store.ErrIDConflict)
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "hello"), stored(2)),
		says(reply(t, "ann", "r", 1, "hello"), stored(3)),
		says(edit(t, "ann", "e", 1, "edited"), stored(4)),
		says(edit(t, "ann", "f", 3, "edited"), stored(5)),
		says(message(t, "ann", "m", "hello"), known(1)),
		says(message(t, "ann", "m", "edited"), conflict),
		says(message(t, "ann", "m", "other"), conflict),
		says(message(t, "ann", "m", ""), conflict),
		says(reply(t, "ann", "r", 1, "hello"), known(3)),
		says(reply(t, "ann", "r", 1, "edited"), conflict),
		says(reply(t, "ann", "r", 2, "hello"), conflict),
		says(message(t, "ann", "r", "hello"), conflict),
		says(edit(t, "ann", "g", 1, "edited again"), stored(6)),
		says(message(t, "ann", "m", "hello"), known(1)),
		says(message(t, "ann", "m", "edited"), conflict),
		says(message(t, "ann", "m", "edited again"), conflict),
		says(edit(t, "ann", "h", 1, "hello"), stored(7)),
		says(message(t, "ann", "m", "hello"), known(1)),
		says(message(t, "ann", "m", "edited again"), conflict),
		says(remove(t, "ann", "d", 1, ""), stored(8)),
		says(message(t, "ann", "m", "hello"), known(1)),
		says(message(t, "ann", "m", "other"), known(1)),
		says(message(t, "ann", "m", ""), known(1)),
		says(reply(t, "ann", "m", 2, "hello"), conflict),
		says(change(t, 200, "ann", "m", 0, "hello"), conflict),
		says(message(t, "ann", "n", "other"), conflict), // which is there
		says(reply(t, "ann", "r", 1, "hello"), known(3)),
		says(reply(t, "ann", "r", 1, "other"), conflict),
		says(remove(t, "ann", "d2", 2, ""), stored(9)), // never edited
		says(message(t, "ann", "n", "hello"), known(2)),
		says(message(t, "ann", "n", "other"), known(2)),
	}, []string{
		"1 ann (edited 7, deleted 8, 1 replies)", "2 ann (deleted 9)", "3 ann answers 1: edited (edited 5)", "4 ann edits 1", "5 ann edits 3: edited",
		"6 ann edits 1", "7 ann edits 1", "8 ann deletes 1", "9 ann deletes 2",
	}, []string{"1 ann (edited 7, deleted 8, 1 replies)", "2 ann (deleted 9)", "3 ann answers 1: edited (edited 5)"}, s)
}

func testRepeatedChanges(t *testing.T, s store.Store) {
	conflict := refused(store.ErrIDConflict)
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "other"), stored(2)),
		says(edit(t, "ann", "e", 1, "first"), stored(3)),
		says(react(t, "ann", "r", 1, true, "👍"), stored(4)),
		says(pin(t, "ann", "p", 1, true), stored(5)),
		says(edit(t, "ann", "e", 1, "first"), known(3)),
		says(edit(t, "ann", "e", 1, "other"), conflict),
		says(edit(t, "ann", "e", 1, ""), conflict),
		says(edit(t, "ann", "f", 1, "second"), stored(6)),
		says(edit(t, "ann", "e", 1, "first"), known(3)), // replaced
		says(edit(t, "ann", "e", 1, "second"), conflict),
		says(edit(t, "ann", "e", 1, ""), conflict),
		says(edit(t, "ann", "f", 1, "second"), known(6)),
		says(edit(t, "ann", "f", 1, "first"), conflict),
		says(edit(t, "ann", "f", 2, "second"), conflict),
		says(message(t, "ann", "f", "second"), conflict),
		says(edit(t, "bob", "f", 1, "third"), stored(7)), // the id of another author
		says(edit(t, "ann", "g", 2, "another"), stored(8)),
		says(react(t, "ann", "r", 1, true, "👍"), known(4)),
		says(react(t, "ann", "r", 1, true, "🎉"), conflict),
		says(react(t, "ann", "r", 1, false, "👍"), conflict),
		says(react(t, "ann", "r", 2, true, "👍"), conflict),
		says(react(t, "ann", "r2", 1, false, "👍"), stored(9)),
		says(react(t, "ann", "r", 1, true, "👍"), known(4)), // does not come back
		says(pin(t, "ann", "p", 1, true), known(5)),
		says(pin(t, "ann", "p", 1, false), conflict),
		says(pin(t, "ann", "p2", 1, false), stored(10)),
		says(pin(t, "ann", "p", 1, true), known(5)),
		says(remove(t, "ann", "d", 1, "spam"), stored(11)),
		says(remove(t, "ann", "d", 1, "spam"), known(11)),
		says(remove(t, "ann", "d", 1, ""), conflict),
		says(remove(t, "ann", "d", 2, "spam"), conflict),
		says(edit(t, "ann", "e", 1, "first"), known(3)),
		says(edit(t, "ann", "e", 1, "anything"), known(3)),
		says(edit(t, "ann", "f", 1, "anything"), known(6)),
		says(edit(t, "bob", "f", 1, "third"), known(7)),
		says(edit(t, "bob", "f", 1, "anything"), known(7)),
		says(edit(t, "ann", "e", 2, "first"), conflict),
		says(edit(t, "ann", "g", 2, "another"), known(8)), // of a message that is there
		says(edit(t, "ann", "g", 2, "anything"), conflict),
		says(react(t, "ann", "r", 1, true, "👍"), known(4)),
		says(react(t, "ann", "r", 1, true, "🎉"), conflict),
		says(react(t, "ann", "r2", 1, false, "👍"), known(9)),
		says(pin(t, "ann", "p2", 1, false), known(10)),
	}, []string{
		"1 ann (edited 7, deleted 11)", "2 ann: another (edited 8)", "3 ann edits 1", "4 ann reacts to 1: +👍", "5 ann pins 1: +", "6 ann edits 1",
		"7 bob edits 1", "8 ann edits 2: another", "9 ann reacts to 1: -👍", "10 ann pins 1: -", "11 ann deletes 1: spam",
	}, []string{"1 ann (edited 7, deleted 11)", "2 ann: another (edited 8)"}, s)
}

// A change that makes no difference uses its id, too: a repeat is answered the same and makes
// none, whatever has happened since.
func testNoops(t *testing.T, s store.Store) {
	conflict := refused(store.ErrIDConflict)
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(react(t, "ann", "r1", 1, true, "👍"), stored(2)),
		says(react(t, "ann", "r2", 1, true, "👍"), known(2)),
		says(pin(t, "ann", "p1", 1, false), known(1)),
		says(react(t, "ann", "r3", 1, false, "👍"), stored(3)),
		says(pin(t, "ann", "p2", 1, true), stored(4)),
		says(react(t, "ann", "r2", 1, true, "👍"), known(2)), // does not come back
		says(pin(t, "ann", "p1", 1, false), known(1)),       // stays pinned
		says(react(t, "ann", "r2", 1, false, "👍"), conflict),
		says(react(t, "ann", "r2", 1, true, "🎉"), conflict),
		says(message(t, "ann", "r2", "hello"), conflict),
		says(message(t, "ann", "p1", "hello"), conflict),
		says(react(t, "bob", "r2", 1, true, "👍"), stored(5)), // the id of another author
		says(react(t, "zoe", "r2", 1, false, "👍"), known(1)), // has said nothing
		says(react(t, "zoe", "r2", 1, false, "👍"), known(1)),
		says(remove(t, "ann", "d", 1, ""), stored(6)),
		says(react(t, "ann", "r2", 1, true, "👍"), known(2)),
		says(react(t, "ann", "r4", 1, true, "👍"), refused(store.ErrGone)),
	}, []string{
		"1 ann (deleted 6)", "2 ann reacts to 1: +👍", "3 ann reacts to 1: -👍", "4 ann pins 1: +", "5 bob reacts to 1: +👍", "6 ann deletes 1",
	}, []string{"1 ann (deleted 6)"}, s)
}

// So many ids of changes that make no difference are kept for each message.
func testManyNoops(t *testing.T, s store.Store) {
	lines := []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "m2", "hello"), stored(2)),
		says(react(t, "ann", "r", 1, true, "👍"), stored(3)),
	}
	id := func(i int) string { return fmt.Sprint("same-", i) }
	for i := range store.MaxNoops + 1 {
		lines = append(lines, says(react(t, "ann", id(i), 1, true, "👍"), known(3)))
	}
	play(t, append(lines,
		says(react(t, "ann", "off", 1, false, "👍"), stored(4)),
		says(react(t, "ann", id(0), 1, true, "👍"), known(3)),
		says(react(t, "ann", id(store.MaxNoops-1), 1, true, "👍"), known(3)),
		says(react(t, "ann", "other", 2, false, "👍"), known(2)),
		says(react(t, "ann", id(store.MaxNoops), 1, true, "👍"), stored(5)), // as if it had not been sent
		says(react(t, "ann", "other", 2, false, "👍"), known(2)),
	), []string{
		"1 ann: hello", "2 ann: hello", "3 ann reacts to 1: +👍", "4 ann reacts to 1: -👍", "5 ann reacts to 1: +👍",
	}, []string{"1 ann: hello (👍 ann 5)", "2 ann: hello"}, s)
}
