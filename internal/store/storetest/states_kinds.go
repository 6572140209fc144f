package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"
)

func testReactions(t *testing.T, s store.Store) {
	account := func(name, id string, on bool) kaban.Draft {
		d := react(t, name, id, 1, on, "👍")
		d.Author = kaban.Account("17", Username(t, name))
		return d
	}
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "hi"), stored(2)),
		says(react(t, "bob", "b1", 1, true, "👍"), stored(3)),
		says(react(t, "bob", "k1", 1, true, "👍"), known(3)), // is there
		says(react(t, "bob", "k2", 1, false, "🎉"), known(1)),
		says(react(t, "ann", "k3", 1, false, "👍"), known(1)),
		says(react(t, "carol", "c1", 1, true, "🎉"), stored(4)),
		says(react(t, "ann", "a1", 1, true, "👍"), stored(5)),
		says(react(t, "bob", "k4", 1, true, "👍"), known(3)),
		says(react(t, "bob", "b2", 1, false, "👍"), stored(6)), // now 🎉 is the first
		says(react(t, "bob", "k5", 1, false, "👍"), known(1)),
		says(react(t, "bob", "b3", 1, true, "👍"), stored(7)), // the last one
		says(react(t, "bob", "k6", 1, true, "👍"), known(7)),
		says(react(t, "BOB", "b4", 1, true, "❤"), stored(8)),
		says(react(t, "bob", "k7", 1, true, "❤"), known(8)),   // the same author
		says(react(t, "bob", "b5", 1, true, "❤️"), stored(9)), // another emoji for a store
		says(account("rob", "r1", true), stored(10)),
		says(account("robert", "k8", true), known(10)),
		says(account("robert", "r2", false), stored(11)),
		says(account("robert", "r3", true), stored(12)),
		says(react(t, "robert", "r1", 1, true, "👍"), stored(13)), // a visitor with the same name
		says(react(t, "carol", "c2", 1, false, "🎉"), stored(14)),
		says(react(t, "bob", "b6", 2, true, "👍"), stored(15)),
		says(react(t, "bob", "b7", 2, false, "👍"), stored(16)),
		says(message(t, "bob", "id", "the id is free"), stored(17)),
	}, []string{
		"1 ann: hello", "2 ann: hi", "3 bob reacts to 1: +👍", "4 carol reacts to 1: +🎉", "5 ann reacts to 1: +👍", "6 bob reacts to 1: -👍",
		"7 bob reacts to 1: +👍", "8 BOB reacts to 1: +❤", "9 bob reacts to 1: +❤️", "10 rob reacts to 1: +👍", "11 robert reacts to 1: -👍",
		"12 robert reacts to 1: +👍", "13 robert reacts to 1: +👍", "14 carol reacts to 1: -🎉", "15 bob reacts to 2: +👍", "16 bob reacts to 2: -👍",
		"17 bob: the id is free",
	}, []string{
		"1 ann: hello (👍 ann 5 bob 7 robert 12 robert 13, ❤ BOB 8, ❤️ bob 9)", "2 ann: hi", "17 bob: the id is free",
	}, s)

	// Reactions are ordered by those that are there now.
	play(t, []line{
		says(message(t, "eve", "m", "hello"), stored(18)),
		says(react(t, "ann", "x1", 18, true, "1"), stored(19)),
		says(react(t, "bob", "x1", 18, true, "2"), stored(20)),
		says(react(t, "carol", "x1", 18, true, "3"), stored(21)),
		says(react(t, "bob", "x2", 18, true, "1"), stored(22)),
		says(react(t, "ann", "x2", 18, false, "1"), stored(23)),
		says(react(t, "ann", "x3", 18, true, "2"), stored(24)),
		says(react(t, "bob", "x3", 18, false, "2"), stored(25)),
		says(react(t, "ann", "k9", 18, true, "2"), known(24)),
	}, append(describeAll(read(t, s, RoomName(t, "line-by-line"))),
		"18 eve: hello", "19 ann reacts to 18: +1", "20 bob reacts to 18: +2", "21 carol reacts to 18: +3", "22 bob reacts to 18: +1",
		"23 ann reacts to 18: -1", "24 ann reacts to 18: +2", "25 bob reacts to 18: -2",
	), append(describeAll(readHistory(t, s, RoomName(t, "line-by-line"), all).Entries), "18 eve: hello (3 carol 21, 1 bob 22, 2 ann 24)"), s)
}

func testReactionLimits(t *testing.T, s store.Store) {
	emoji := func(i int) string { return string(rune(0x1f600 + i)) }
	var script []line
	var entries []string
	reactions := map[uint64]map[string]string{1: {}, 2: {}} // by message and emoji: those that have reacted
	order := map[uint64][]string{}
	say := func(author string, target uint64, on bool, i int) {
		seq := uint64(len(entries) + 1)
		script = append(script, says(react(t, author, fmt.Sprint("id-", seq), target, on, emoji(i)), stored(seq)))
		entries = append(entries, fmt.Sprintf("%d %s reacts to %d: %s", seq, author, target, kaban.Switch(on, emoji(i))))
		if !on { // only of those that are alone with an emoji
			delete(reactions[target], emoji(i))
			order[target] = slices.DeleteFunc(order[target], func(e string) bool { return e == emoji(i) })
			return
		}
		if reactions[target][emoji(i)] == "" {
			order[target] = append(order[target], emoji(i))
		}
		reactions[target][emoji(i)] += fmt.Sprintf(" %s %d", author, seq)
	}
	no := func(author string, target uint64, i int) {
		script = append(script, says(react(t, author, "too-many", target, true, emoji(i)), refused(store.ErrTooManyReactions)))
	}
	for seq := range uint64(2) {
		script = append(script, says(message(t, "ann", fmt.Sprint("m", seq), "hello"), stored(seq+1)))
		entries = append(entries, fmt.Sprint(seq+1, " ann: hello"))
	}
	for i := range store.MaxOwnReactions {
		say("ann", 1, true, i)
	}
	no("ann", 1, store.MaxOwnReactions)
	script = append(script,
		says(react(t, "ann", "there", 1, true, emoji(3)), known(3+3)), // is there
		says(react(t, "ann", "not-there", 1, false, emoji(30)), known(1)))
	say("bob", 1, true, 30)
	no("ann", 1, 30) // that another one has reacted makes no difference
	say("ann", 1, false, 3)
	say("ann", 1, true, 30)
	no("ann", 1, 3)

	// The second message gets as many different ones as it may have.
	for i := range store.MaxReactions {
		say([]string{"ann", "bob", "carol"}[i/store.MaxOwnReactions], 2, true, i)
	}
	no("carol", 2, store.MaxReactions)
	no("dan", 2, store.MaxReactions)
	say("dan", 2, true, 0) // one that is there
	script = append(script, says(react(t, "dan", "there", 2, true, emoji(0)), known(uint64(len(entries)))))
	say("carol", 2, false, store.MaxReactions-1)
	say("dan", 2, true, store.MaxReactions)
	no("carol", 2, store.MaxReactions-1)
	for i := range store.MaxOwnReactions - 2 {
		say("dan", 2, true, i+1)
	}
	no("dan", 2, store.MaxOwnReactions+1) // is there, but dan has enough
	seq := uint64(len(entries) + 1)
	script = append(script, says(message(t, "ann", "too-many", "the id is free"), stored(seq)), says(message(t, "dan", "too-many", "the id is free"), stored(seq+1)))
	entries = append(entries, fmt.Sprint(seq, " ann: the id is free"), fmt.Sprint(seq+1, " dan: the id is free"))

	history := slices.Clone(entries[len(entries)-2:])
	for _, target := range []uint64{2, 1} {
		text := fmt.Sprint(target, " ann: hello (")
		for i, e := range order[target] {
			if i > 0 {
				text += ", "
			}
			text += e + reactions[target][e]
		}
		history = slices.Insert(history, 0, text+")")
	}
	play(t, script, entries, history, s)
}

func testPins(t *testing.T, s store.Store) {
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "hi"), stored(2)),
		says(pin(t, "ann", "k10", 1, false), known(1)),
		says(pin(t, "ann", "p1", 1, true), stored(3)),
		says(pin(t, "bob", "k11", 1, true), known(3)),
		says(pin(t, "ann", "k12", 1, true), known(3)),
		says(pin(t, "bob", "p1", 2, true), stored(4)),
		says(pin(t, "bob", "p2", 1, false), stored(5)),
		says(pin(t, "bob", "k13", 1, false), known(1)),
		says(pin(t, "ann", "p1", 1, true), known(3)), // once more, long ago
		says(pin(t, "carol", "p1", 1, true), stored(6)),
		says(pin(t, "ann", "k14", 1, true), known(6)),
		says(edit(t, "ann", "e", 1, "Hello"), stored(7)),
		says(pin(t, "bob", "p3", 2, false), stored(8)),
		says(message(t, "ann", "id", "the id is free"), stored(9)),
		says(message(t, "bob", "id", "the id is free"), stored(10)),
	}, []string{
		"1 ann: Hello (edited 7, pinned 6)", "2 ann: hi", "3 ann pins 1: +", "4 bob pins 2: +", "5 bob pins 1: -", "6 carol pins 1: +",
		"7 ann edits 1: Hello", "8 bob pins 2: -", "9 ann: the id is free", "10 bob: the id is free",
	}, []string{"1 ann: Hello (edited 7, pinned 6)", "2 ann: hi", "9 ann: the id is free", "10 bob: the id is free"}, s)
}

func testReplies(t *testing.T, s store.Store) {
	play(t, []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(reply(t, "bob", "1", 1, "one"), stored(2)),
		says(reply(t, "carol", "1", 2, "two"), stored(3)), // to a reply
		says(reply(t, "ann", "1", 1, "three"), stored(4)), // to oneself
		says(reply(t, "ann", "1", 1, "three"), known(4)),  // which counts once
		says(reply(t, "ann", "1", 1, "other"), refused(store.ErrIDConflict)),
		says(edit(t, "ann", "2", 4, "3"), stored(5)),
		says(remove(t, "bob", "2", 2, ""), stored(6)), // it still counts, and it still has a reply
		says(reply(t, "carol", "2", 2, "late"), refused(store.ErrGone)),
		says(change(t, 200, "carol", "3", 1, "no reply"), stored(7)),
		says(reply(t, "carol", "2", 1, "four"), stored(8)),
		says(remove(t, "ann", "3", 1, ""), stored(9)),
		says(reply(t, "carol", "4", 1, "late"), refused(store.ErrGone)),
	}, []string{
		"1 ann (deleted 9, 3 replies)", "2 bob answers 1 (deleted 6, 1 replies)", "3 carol answers 2: two", "4 ann answers 1: 3 (edited 5)",
		"5 ann edits 4: 3", "6 bob deletes 2", "7 carol kind 200 of 1: no reply", "8 carol answers 1: four", "9 ann deletes 1",
	}, []string{
		"1 ann (deleted 9, 3 replies)", "2 bob answers 1 (deleted 6, 1 replies)", "3 carol answers 2: two", "4 ann answers 1: 3 (edited 5)",
		"7 carol kind 200 of 1: no reply", "8 carol answers 1: four",
	}, s)
}

func testAllow(t *testing.T, s store.Store) {
	no := errors.New("no")
	asked := make(map[string]bool) // by what must be seen and the write
	sees := func(d kaban.Draft, target string, err error, want store.Result) line {
		key := fmt.Sprintf("%s: %+v, %v", target, d, err)
		asked[key] = false
		return line{store.Write{Draft: d, Allow: func(e *store.Entry) error {
			asked[key] = true
			if got := describe(e); got != target {
				t.Errorf("%+v: Allow sees %q, want %q", d, got, target)
			}
			if author := kaban.Visitor(Username(t, "ann")).ID(); e.Author != author || e.ID != "m" || e.Kind != kaban.KindMessage || e.Time == 0 {
				t.Errorf("%+v: Allow sees %+v, want the message m of %s", d, e, author)
			}
			return err
		}}, want}
	}
	never := func(w store.Write, want store.Result) line {
		w.Allow = func(e *store.Entry) error {
			t.Errorf("%+v: Allow is called with %+v", w.Draft, e)
			return no
		}
		return line{w, want}
	}
	plain := func(d kaban.Draft) store.Write { return store.Write{Draft: d} }
	play(t, []line{
		never(plain(message(t, "ann", "m", "hello")), stored(1)),
		sees(edit(t, "bob", "e", 1, "hi"), "1 ann: hello", nil, stored(2)),
		sees(edit(t, "bob", "id", 1, "no"), "1 ann: hi (edited 2)", no, refused(no)),
		sees(react(t, "bob", "r", 1, true, "👍"), "1 ann: hi (edited 2)", nil, stored(3)),
		sees(pin(t, "carol", "p", 1, true), "1 ann: hi (edited 2, 👍 bob 3)", nil, stored(4)),
		sees(reply(t, "carol", "y", 1, "y"), "1 ann: hi (edited 2, pinned 4, 👍 bob 3)", nil, stored(5)),
		sees(reply(t, "carol", "id", 1, "no"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", no, refused(no)),
		sees(remove(t, "carol", "id", 1, "no"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", no, refused(no)),
		// What changes nothing, or cannot be, is compared later.
		sees(react(t, "bob", "id", 1, true, "👍"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", no, refused(no)),
		sees(react(t, "bob", "k15", 1, true, "👍"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", nil, known(3)),
		sees(pin(t, "bob", "id", 1, true), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", no, refused(no)),
		sees(editOf(t, "bob", "id", 1, 1, "no"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", no, refused(no)),
		sees(editOf(t, "bob", "id", 1, 1, "no"), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", nil, refused(store.ErrEditConflict)),
		// These end before.
		never(plain(edit(t, "bob", "e", 1, "hi")), known(2)),
		never(plain(edit(t, "bob", "e", 1, "no")), refused(store.ErrIDConflict)),
		never(store.Write{Draft: edit(t, "bob", "id", 1, "no"), Checked: true, Revision: 1}, refused(store.ErrStale)),
		never(store.Write{Draft: edit(t, "bob", "id", 1, "no"), Refusal: no}, refused(no)),
		never(store.Write{Draft: edit(t, "bob", "id", 99, "no"), Refusal: no}, refused(no)),
		never(decided(edit(t, "bob", "id", 1, "no"), func(store.Tx) error { return no }), refused(no)),
		never(plain(edit(t, "bob", "id", 99, "no")), refused(store.ErrNoTarget)),
		never(plain(edit(t, "bob", "id", 2, "no")), refused(store.ErrNoTarget)), // no message
		never(plain(change(t, 200, "bob", "u", 1, "x")), stored(6)),
		never(plain(change(t, kaban.KindTopic, "bob", "t", 1, "x")), stored(7)),
		sees(remove(t, "ann", "d", 1, ""), "1 ann: hi (edited 2, pinned 4, 1 replies, 👍 bob 3)", nil, stored(8)),
		sees(edit(t, "bob", "id", 1, "no"), "1 ann (edited 2, deleted 8, 1 replies)", no, refused(no)),
		sees(edit(t, "bob", "id", 1, "no"), "1 ann (edited 2, deleted 8, 1 replies)", nil, refused(store.ErrGone)),
		never(plain(edit(t, "bob", "e", 1, "anything")), known(2)),
	}, []string{
		"1 ann (edited 2, deleted 8, 1 replies)", "2 bob edits 1", "3 bob reacts to 1: +👍", "4 carol pins 1: +", "5 carol answers 1: y",
		"6 bob kind 200 of 1: x", "7 bob kind 6 of 1: x", "8 ann deletes 1",
	}, []string{"1 ann (edited 2, deleted 8, 1 replies)", "5 carol answers 1: y", "6 bob kind 200 of 1: x", "7 bob kind 6 of 1: x"}, s)
	for key, ok := range asked {
		if !ok {
			t.Errorf("%s: Allow was not called", key)
		}
	}
}

// A change is decided before it is allowed, and what it decided is undone if it is not
// stored.
func testDecidedChanges(t *testing.T, s store.Store) {
	no := errors.New("no")
	steps := ""
	var script []line
	add := func(d kaban.Draft, allowed error, want store.Result) {
		name := fmt.Sprint(len(script))
		undone := want.Err != nil || want.Duplicate
		w := decided(d, func(tx store.Tx) error {
			steps = "decided"
			for i := range script {
				if undone := script[i].want.Err != nil || script[i].want.Duplicate; !undone {
					continue
				}
				if value, err := tx.Get(fmt.Sprint(i)); value != nil || err != nil {
					t.Errorf("write %s sees %q of write %d, %v", name, value, i, err)
				}
			}
			if !undone {
				return tx.Put(name, []byte("x"))
			}
			return errors.Join(tx.Put(name, []byte("x")), tx.Delete("kept"), tx.Bump(RoomName(t, "line-by-line")), tx.Bump(RoomName(t, "cellar")))
		})
		w.Allow = func(*store.Entry) error {
			if steps != "decided" {
				t.Errorf("write %s is allowed before it is decided", name)
			}
			steps = ""
			return allowed
		}
		script = append(script, line{w, want})
	}
	put(t, s, "kept", "x")
	add(message(t, "ann", "m", "hello"), nil, stored(1))
	add(message(t, "ann", "n", "hi"), nil, stored(2))
	add(pin(t, "ann", "p", 1, true), nil, stored(3))
	add(remove(t, "ann", "d", 2, ""), nil, stored(4))
	add(edit(t, "ann", "id", 1, "x"), no, refused(no))
	add(edit(t, "ann", "id", 99, "x"), nil, refused(store.ErrNoTarget))
	add(edit(t, "ann", "id", 2, "x"), nil, refused(store.ErrGone))
	add(editOf(t, "ann", "id", 1, 2, "x"), nil, refused(store.ErrEditConflict))
	add(pin(t, "ann", "k16", 1, true), nil, known(3))
	add(react(t, "ann", "k17", 1, false, "👍"), nil, known(1))
	add(edit(t, "ann", "e", 1, "Hello"), nil, stored(5))
	play(t, script,
		[]string{"1 ann: Hello (edited 5, pinned 3)", "2 ann (deleted 4)", "3 ann pins 1: +", "4 ann deletes 2", "5 ann edits 1: Hello"},
		[]string{"1 ann: Hello (edited 5, pinned 3)", "2 ann (deleted 4)"}, s)
	wantDocuments(t, s, "0=x", "1=x", "10=x", "2=x", "3=x", "kept=x")
	wantRevision(t, s, "line-by-line", 0)

	// The decision makes the room, and nothing is left of it.
	w := decided(edit(t, "ann", "id", 1, "x"), func(tx store.Tx) error { return tx.Bump(RoomName(t, "cellar")) })
	w.Room = RoomName(t, "cellar")
	if got := appendWrites(t, s, w)[0]; !errors.Is(got.Err, store.ErrNoTarget) {
		t.Errorf("a change in a room that its decision makes: %+v, want %v", got, store.ErrNoTarget)
	}
	if rooms, err := s.Rooms(t.Context()); err != nil || len(rooms) != 2 {
		t.Errorf("the rooms are %+v, %v; want two", rooms, err)
	}
}

func testOtherKinds(t *testing.T, s store.Store) {
	script := []line{
		says(message(t, "ann", "m", "hello"), stored(1)),
		says(message(t, "ann", "n", "hi"), stored(2)),
		says(remove(t, "ann", "d", 2, ""), stored(3)),
	}
	entries := []string{"1 ann: hello", "2 ann (deleted 3)", "3 ann deletes 2"}
	history := slices.Clone(entries[:2])
	for _, kind := range []kaban.Kind{kaban.KindTopic, kaban.KindRoom, kaban.KindMember, kaban.KindMember + 1, 200, 255} {
		for _, target := range []uint64{0, 1, 2, 3, 4, 100, 1<<40 - 1} {
			seq := uint64(len(entries) + 1)
			d := change(t, kind, "bob", fmt.Sprint("id-", seq), target, "+👍")
			script = append(script, says(d, stored(seq)), says(d, known(seq)))
			entries = append(entries, fmt.Sprintf("%d bob kind %d of %d: +👍", seq, kind, target))
			history = append(history, entries[len(entries)-1])
		}
	}
	play(t, script, entries, history, s)
}

// permutations calls visit with every order of the numbers below n.
func permutations(n int, visit func(order []int)) {
	order := make([]int, 0, n)
	var extend func()
	extend = func() {
		if len(order) == n {
			visit(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				order = append(order, i)
				extend()
				order = order[:len(order)-1]
			}
		}
	}
	extend()
}

func testBatchOrders(t *testing.T, s store.Store) {
	drafts := []kaban.Draft{
		message(t, "ann", "m", "hello"), edit(t, "ann", "e", 1, "Hello"), remove(t, "ann", "d", 1, "spam"),
		react(t, "bob", "r", 1, true, "👍"), pin(t, "bob", "p", 1, true), reply(t, "bob", "y", 1, "hi"),
	}
	var batch []store.Write
	var wants []store.Result
	var rooms []kaban.RoomName
	entries, history := make(map[kaban.RoomName][]string), make(map[kaban.RoomName][]string)
	permutations(len(drafts), func(order []int) {
		room := RoomName(t, fmt.Sprint("room-", len(rooms)))
		rooms = append(rooms, room)
		seqs := make(map[int]uint64) // of the drafts that are stored
		for _, i := range order {
			d := drafts[i]
			d.Room = room
			batch = append(batch, store.Write{Draft: d})
			switch {
			case i != 0 && seqs[0] == 0:
				wants = append(wants, refused(store.ErrNoTarget))
			case seqs[2] != 0:
				wants = append(wants, refused(store.ErrGone))
			default:
				seqs[i] = uint64(len(seqs) + 1)
				wants = append(wants, stored(seqs[i]))
			}
		}
		entries[room], history[room] = wantOfOrder(order, seqs)
	})
	for from := 0; from < len(batch); from += 600 {
		end := min(from+600, len(batch))
		for i, got := range appendWrites(t, s, batch[from:end]...) {
			if want := wants[from+i]; got.Seq != want.Seq || got.Duplicate || !errors.Is(got.Err, want.Err) {
				t.Errorf("%+v: %+v, want %+v", batch[from+i].Draft, got, want)
			}
		}
	}
	for _, room := range rooms {
		wantLog(t, s, room, entries[room], history[room])
	}
}

// wantOfOrder returns the entries and the history of a room of testBatchOrders: of its
// message, its edit, its deletion, its reaction, its pin and its reply, those with a seq are
// stored.
func wantOfOrder(order []int, seqs map[int]uint64) (entries, history []string) {
	e, d, r, p, y := seqs[1], seqs[2], seqs[3], seqs[4], seqs[5]
	text, last, state, reaction := ": hello", ": Hello", "", ""
	add := func(part string) {
		if state != "" {
			state += ", "
		}
		state += part
	}
	if e != 0 {
		text = ": Hello"
		add(fmt.Sprint("edited ", e))
	}
	if d != 0 {
		text, last = "", ""
		add(fmt.Sprint("deleted ", d))
	} else if p != 0 {
		add(fmt.Sprint("pinned ", p))
	}
	if y != 0 {
		add("1 replies")
	}
	if d == 0 && r != 0 {
		reaction = fmt.Sprint("👍 bob ", r)
	}
	in := func(state string) string {
		if state == "" {
			return ""
		}
		return " (" + state + ")"
	}
	lines := map[int]string{
		0: "1 ann" + text + in(state), 1: fmt.Sprint(e, " ann edits 1", last), 2: fmt.Sprint(d, " ann deletes 1: spam"),
		3: fmt.Sprint(r, " bob reacts to 1: +👍"), 4: fmt.Sprint(p, " bob pins 1: +"), 5: fmt.Sprint(y, " bob answers 1: hi"),
	}
	for _, i := range order {
		if seqs[i] != 0 {
			entries = append(entries, lines[i])
		}
	}
	if reaction != "" {
		add(reaction)
	}
	history = append(history, "1 ann"+text+in(state))
	if y != 0 {
		history = append(history, lines[5])
	}
	return entries, history
}

func testNewAuthors(t *testing.T, s store.Store) {
	Append(t, s, message(t, "ann", "m", "hello"))
	n := 0
	fresh := func() string { n++; return fmt.Sprint("new-", n) }
	var lines []line
	entries := []string{"1 ann: hello", "2 new-1 edits 1: Hello"}
	first := func(d func(author string) kaban.Draft, want store.Result) string {
		author := fresh()
		lines = append(lines, says(d(author), want))
		return author
	}
	first(func(a string) kaban.Draft { return edit(t, a, "id", 1, "Hello") }, stored(2))
	for _, c := range []struct {
		draft func(author string) kaban.Draft
		want  store.Result
	}{
		{func(a string) kaban.Draft { return editOf(t, a, "id", 1, 1, "x") }, refused(store.ErrEditConflict)},
		{func(a string) kaban.Draft { return edit(t, a, "id", 99, "x") }, refused(store.ErrNoTarget)},
		{func(a string) kaban.Draft { return react(t, a, "id", 1, false, "👍") }, known(1)},
		{func(a string) kaban.Draft { return pin(t, a, "id", 1, false) }, known(1)},
	} {
		author := first(c.draft, c.want)
		if c.want.Duplicate { // the id is used
			lines = append(lines, says(message(t, author, "id", "another"), refused(store.ErrIDConflict)))
			continue
		}
		seq := uint64(len(entries) + 1)
		lines = append(lines, says(message(t, author, "id", "the id is free"), stored(seq)))
		entries = append(entries, fmt.Sprint(seq, " ", author, ": the id is free"))
	}
	first(func(a string) kaban.Draft { return react(t, a, "id", 1, true, "👍") }, stored(5))
	first(func(a string) kaban.Draft { return react(t, a, "id", 1, true, "👍") }, stored(6))
	first(func(a string) kaban.Draft { return pin(t, a, "id", 1, true) }, stored(7))
	first(func(a string) kaban.Draft { return reply(t, a, "id", 1, "hi") }, stored(8))
	first(func(a string) kaban.Draft { return remove(t, a, "id", 3, "") }, stored(9))
	for i := range lines {
		lines[i].Room = RoomName(t, "lobby")
		if i < len(lines)-3 {
			playBatch(t, s, fmt.Sprint("line ", i), lines[i:i+1])
		}
	}
	playBatch(t, s, "the last three", lines[len(lines)-3:])
	entries[0] = "1 ann: Hello (edited 2, pinned 7, 1 replies)"
	entries[2] = "3 new-2 (deleted 9)"
	history := []string{
		"1 ann: Hello (edited 2, pinned 7, 1 replies, 👍 new-6 5 new-7 6)", entries[2], entries[3], "8 new-9 answers 1: hi",
	}
	entries = append(entries, "5 new-6 reacts to 1: +👍", "6 new-7 reacts to 1: +👍", "7 new-8 pins 1: +", "8 new-9 answers 1: hi", "9 new-10 deletes 3")
	wantLog(t, s, RoomName(t, "lobby"), entries, history)
}

// copyOf returns entries that share nothing with others.
func copyOf(entries []store.Entry) []store.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		if entries[i].State == nil {
			continue
		}
		state := *entries[i].State
		state.Reactions = slices.Clone(state.Reactions)
		for j := range state.Reactions {
			state.Reactions[j].People = slices.Clone(state.Reactions[j].People)
		}
		entries[i].State = &state
	}
	return entries
}

// testReturnedEntries changes messages in every way, and looks at all that was returned
// before.
func testReturnedEntries(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	Append(t, s, message(t, "ann", "m", "hello"), message(t, "ann", "n", "hi"))
	type returned struct{ entries, before []store.Entry }
	var kept []returned
	keep := func(entries []store.Entry) { kept = append(kept, returned{entries, copyOf(entries)}) }
	look := func() {
		keep(read(t, s, lobby))
		keep(readHistory(t, s, lobby, all).Entries)
		keep(readHistory(t, s, lobby, store.Page{Last: true, Limit: 2}).Entries)
	}
	var drafts []kaban.Draft
	ids := 0
	id := func() string { ids++; return fmt.Sprint("id-", ids) }
	authors := []string{"ann", "bob", "carol", "dan", "eve", "frank"}
	for round, on := range []bool{true, false, true} {
		for i, author := range authors {
			if round == 1 {
				author = authors[(i*5+3)%len(authors)] // they leave in another order
			}
			for _, emoji := range []string{"👍", "🎉", "❤"}[:1+i%3] {
				drafts = append(drafts, react(t, author, id(), 1, on, emoji))
			}
			drafts = append(drafts, pin(t, author, id(), 1, i%2 == 0), edit(t, author, id(), 1, fmt.Sprint(author, round)), reply(t, author, id(), 1, "hi"))
		}
	}
	drafts = append(drafts, remove(t, "ann", id(), 1, ""), remove(t, "ann", id(), 2, ""))
	look()
	for i := range drafts {
		if got := Append(t, s, drafts[i])[0]; got.Err != nil {
			t.Fatalf("%+v: %+v", drafts[i], got)
		}
		look()
	}
	for i, k := range kept {
		if got, want := describeAll(k.entries), describeAll(k.before); !slices.Equal(got, want) {
			t.Fatalf("what the call %d returned has become %q, it was %q", i, got, want)
		}
	}
}
