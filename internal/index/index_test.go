package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/markup"
	"kaban/internal/search"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// small has many volumes and chunks of few messages.
var small = shape{volume: 32, chunk: 8, spacing: 3, stretch: 20}

// world is a store, an index of it, and what a reader of the logs would know.
type world struct {
	t      *testing.T
	store  store.Store
	dir    string // "" in memory
	index  *Index
	shape  shape
	random *rand.Rand
	rooms  []kaban.RoomName
	ids    int
}

func newWorld(t *testing.T, s store.Store, dir string, sh shape) *world {
	w := &world{t: t, store: s, dir: dir, shape: sh, random: rand.New(rand.NewPCG(3, 4))}
	for i := range 5 {
		w.rooms = append(w.rooms, storetest.RoomName(t, fmt.Sprint("room-", i)))
	}
	w.open()
	t.Cleanup(func() { w.index.Close() })
	return w
}

func (w *world) open() {
	w.index = Open(w.store, w.dir, Options{Eager: true, shape: w.shape})
}

// wait waits until the index has read everything.
func (w *world) wait() {
	w.t.Helper()
	if err := w.index.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// append stores an entry and has the index know of it, or not.
func (w *world) append(room kaban.RoomName, author string, kind kaban.Kind, target uint64, body string, tell bool) store.Result {
	w.t.Helper()
	w.ids++
	id, err := kaban.ParseMessageID(fmt.Sprint("m", w.ids))
	if err != nil {
		w.t.Fatal(err)
	}
	write := store.Write{Draft: kaban.Draft{Author: kaban.Visitor(storetest.Username(w.t, author)), Room: room, Kind: kind, ID: id, Target: target, Body: body}}
	if kind == kaban.KindMessage && w.random.IntN(4) == 0 {
		write.Draft.Files = storetest.Files(w.t, w.text(3)+"x.png")
	}
	results := make([]store.Result, 1)
	if err := w.store.Append(w.t.Context(), []store.Write{write}, results); err != nil {
		w.t.Fatal(err)
	}
	if tell && results[0].Err == nil {
		w.index.Grew(room, results[0].Seq)
	}
	return results[0]
}

func (w *world) say(room kaban.RoomName, author, body string) uint64 {
	w.t.Helper()
	r := w.append(room, author, kaban.KindMessage, 0, body, true)
	if r.Err != nil {
		w.t.Fatal(r.Err)
	}
	return r.Seq
}

var pieces = []string{"foo", "bar", "Foobar", "fo", "東", "京都", "カナ", "서버", "1", "v2", "é", "https://x.example", " ", " ", " ", "_", ".", "、"}

func (w *world) text(most int) string {
	var b strings.Builder
	for range 1 + w.random.IntN(most) {
		b.WriteString(pieces[w.random.IntN(len(pieces))])
	}
	return b.String()
}

// change does something at random.
func (w *world) change() {
	room := w.rooms[w.random.IntN(len(w.rooms))]
	author := []string{"ann", "bob"}[w.random.IntN(2)]
	state, err := w.store.Room(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	tell := w.random.IntN(10) > 0
	target := uint64(1)
	if state.Head > 0 {
		target += w.random.Uint64N(state.Head)
	}
	switch w.random.IntN(10) {
	case 0, 1:
		body := w.text(8) + "x"
		if w.random.IntN(3) == 0 {
			body = kaban.NoText // refused if the message has no files
		}
		w.append(room, author, kaban.KindEdit, target, body, tell)
	case 2:
		w.append(room, author, kaban.KindDelete, target, "", tell)
	case 3:
		w.append(room, author, kaban.KindPin, target, kaban.Switch(w.random.IntN(3) > 0, ""), tell)
	default:
		w.append(room, author, kaban.KindMessage, 0, w.text(12)+"x", tell)
	}
}

// key is where a message is.
type key struct {
	room string
	seq  uint64
}

// folded returns all messages as they are now.
func (w *world) folded() map[key]store.Entry {
	w.t.Helper()
	all := make(map[key]store.Entry)
	for _, room := range w.rooms {
		h, err := w.store.History(w.t.Context(), room, store.Page{Limit: 100_000})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range h.Entries {
			if e.Kind == kaban.KindMessage && !e.IsDeleted() {
				all[key{room.Key(), e.Seq}] = e
			}
		}
	}
	return all
}

// find asks the index for all places of a query, page by page.
func (w *world) find(query string, rooms []kaban.RoomName) (found []search.Place) {
	w.t.Helper()
	q, err := search.Parse(query, time.UnixMilli(0).UTC())
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	ask := search.Ask{Query: q, Rooms: rooms, All: rooms == nil, Limit: 1 + w.random.IntN(7)}
	for {
		page, err := w.index.Find(w.t.Context(), ask)
		if err != nil {
			w.t.Fatal(err)
		}
		if page.Partial {
			w.t.Fatalf("%s: the index says that it is partial", query)
		}
		if len(page.List) > ask.Limit {
			w.t.Fatalf("%s: %d places, the limit is %d", query, len(page.List), ask.Limit)
		}
		found = append(found, page.List...)
		if !page.More || page.Next == 0 {
			break
		}
		if ask.Before != 0 && page.Next >= ask.Before {
			w.t.Fatalf("%s: the page before %d goes on before %d", query, ask.Before, page.Next)
		}
		ask.Before = page.Next
	}
	for i := 1; i < len(found); i++ {
		if found[i].Order >= found[i-1].Order {
			w.t.Fatalf("%s: order %d is behind %d", query, found[i].Order, found[i-1].Order)
		}
	}
	return found
}

// compare compares the index with the messages. It must find what matches, and nothing else
// but messages that have the terms of a phrase in another order: the caller compares.
func (w *world) compare(queries int) (hits int) {
	w.t.Helper()
	all := w.folded()
	for range queries {
		query := `"` + w.text(3) + `"` + []string{"", "", "*"}[w.random.IntN(3)]
		switch w.random.IntN(9) {
		case 0:
			query += ` -"` + w.text(2) + `"`
		case 1:
			query = "from:ann"
		case 2:
			query += " -from:bob"
		case 3:
			query += " has:link"
		case 4:
			query = "is:pinned"
		case 5:
			query = "has:file"
		case 6:
			query += " -has:file"
		}
		q, err := search.Parse(query, time.UnixMilli(0).UTC())
		if err != nil {
			continue // no terms, or a prefix that is too short
		}
		var rooms []kaban.RoomName
		if w.random.IntN(3) > 0 {
			rooms = w.rooms[:1+w.random.IntN(len(w.rooms))]
		}
		var want, got []string
		for at, e := range all {
			in := rooms == nil || slices.ContainsFunc(rooms, func(r kaban.RoomName) bool { return r.Key() == at.room })
			author := func(names []kaban.Username) bool {
				return slices.ContainsFunc(names, func(n kaban.Username) bool { return n.String() == e.Username })
			}
			pinned := e.State != nil && e.State.Pinned != (store.Change{})
			if in && q.Matches(search.TextOf(e.Content, e.Files)) && (len(q.From) == 0 || author(q.From)) && !author(q.NotFrom) &&
				(q.Must&search.HasLink == 0 || markup.HasAddress(e.Content)) &&
				(q.Must&search.HasFile == 0 || e.Files != "") && (q.MustNot&search.HasFile == 0 || e.Files == "") &&
				(q.Must&search.IsPinned == 0 || pinned) {
				want = append(want, fmt.Sprint(at))
			}
		}
		loose := slices.ContainsFunc(q.Texts, func(t search.Text) bool { return len(t.Terms) > 1 })
		for _, p := range w.find(query, rooms) {
			at := key{p.Room.Key(), p.Seq}
			if e, ok := all[at]; ok && loose && !q.Matches(search.TextOf(e.Content, e.Files)) {
				continue
			}
			got = append(got, fmt.Sprint(at))
		}
		slices.Sort(want)
		slices.Sort(got)
		hits += len(got)
		if !slices.Equal(got, want) {
			w.t.Fatalf("%s in %v finds\n%v, want\n%v", query, rooms, got, want)
		}
	}
	return hits
}

func openSQLite(t *testing.T, dir string) store.Store {
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestModel compares the index with the folded logs, over both stores, with restarts
// in between, and with entries of which nobody tells it until the next start.
func TestModel(t *testing.T) {
	for _, driver := range []string{"memory", "sqlite"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			dir := ""
			var s store.Store = memory.New(0)
			if driver == "sqlite" {
				dir = t.TempDir()
				s = openSQLite(t, dir)
			}
			w := newWorld(t, s, dir, small)
			hits := 0
			for range 25 {
				for range 20 {
					w.change()
				}
				if w.random.IntN(3) == 0 {
					w.index.Close()
					w.open()
				}
				w.wait()
				hits += w.compare(20)
			}
			if hits < 1000 {
				t.Errorf("%d hits: too few to compare", hits)
			}
			w.index.Rebuild()
			w.wait()
			w.compare(50)
		})
	}
}

// TestPhrases says of pairs of words in many messages in which order they are: of a thousand
// messages with both words, but not as a phrase, hardly any is proposed.
func TestPhrases(t *testing.T) {
	w := newWorld(t, memory.New(0), "", usual)
	room := storetest.RoomName(t, "lobby")
	const pairs = 1000
	for i := range pairs {
		w.say(room, "ann", fmt.Sprintf("left%d right%d", i, i))
		w.say(room, "ann", fmt.Sprintf("right%d left%d", i, i))
	}
	w.wait()
	proposed := 0
	for i := range pairs {
		found := w.find(fmt.Sprintf(`"left%d right%d"`, i, i), nil)
		if !slices.ContainsFunc(found, func(p search.Place) bool { return p.Seq == uint64(2*i+1) }) {
			t.Fatalf("phrase %d is not found", i)
		}
		proposed += len(found) - 1
	}
	if proposed > pairs/100 {
		t.Errorf("of %d messages with the words in another order, %d are proposed", pairs, proposed)
	}
	if found := w.find(`left1 -"left1 right1"`, nil); len(found) != 2 {
		t.Errorf("with a phrase that is excluded, %d messages are proposed, want both", len(found))
	}
}

// A search goes on if the statement that it is about to use was closed, because the table of its
// volume was dropped.
func TestClosedStatements(t *testing.T) {
	w := newWorld(t, memory.New(0), t.TempDir(), usual)
	w.say(storetest.RoomName(t, "lobby"), "ann", "tea")
	w.wait()
	if found := w.find("tea", nil); len(found) != 1 {
		t.Fatalf("%d messages are found, want 1", len(found))
	}
	d, tries := w.index.db, 0
	err := d.again(func() error {
		stmt, err := d.prepared(t.Context(), readRecords, 0)
		if err != nil {
			return err
		}
		if tries++; tries == 1 {
			d.unprepare(0)
		}
		rows, err := stmt.Query(0, 1, 0, 0, nil)
		if err != nil {
			return err
		}
		return rows.Close()
	})
	if err != nil || tries != 2 {
		t.Errorf("%v after %d tries, want none after 2", err, tries)
	}
}

// After a quiet hour, what has just come has not been unread for an hour.
func TestLagAfterAQuietHour(t *testing.T) {
	for what, happens := range map[string]func(*Index, kaban.RoomName){
		"an entry":  func(x *Index, room kaban.RoomName) { x.noteLocked(room, 1000) },
		"a rebuild": func(x *Index, _ kaban.RoomName) { x.rebuildLocked() },
	} {
		s := memory.New(0)
		t.Cleanup(func() { _ = s.Close() })
		w := newWorld(t, s, "", shape{})
		w.say(w.rooms[0], "ann", "tea")
		w.wait()
		x := w.index
		x.mu.Lock()
		x.pending, x.working, x.building = nil, false, false
		x.asOf = time.Now().Add(-time.Hour)
		happens(x, w.rooms[0])
		lag, complete := x.lagLocked(), x.isCompleteLocked()
		x.mu.Unlock()
		if lag > time.Hour/2 || complete {
			t.Errorf("%s after a quiet hour: the index is %s behind, complete: %t", what, lag, complete)
		}
	}
}

// TestDates finds messages by their times.
func TestDates(t *testing.T) {
	w := newWorld(t, memory.New(0), "", small)
	for range 50 {
		w.say(w.rooms[0], "ann", "word")
	}
	w.wait()
	today := time.Now().UTC()
	for query, want := range map[string]int{
		"word on:" + today.Format(time.DateOnly): 50, "word before:" + today.Format(time.DateOnly): 0,
		"after:" + today.AddDate(0, 0, 1).Format(time.DateOnly): 0, "after:" + today.AddDate(0, 0, -2).Format(time.DateOnly): 50,
	} {
		if got := len(w.find(query, nil)); got != want {
			t.Errorf("%s finds %d places, want %d", query, got, want)
		}
	}
}

// TestNumbers go back and forth, and others are none.
func TestNumbers(t *testing.T) {
	w := newWorld(t, memory.New(0), "", small)
	w.wait()
	seen := make(map[uint64]bool)
	for order := range uint64(1000) {
		n := w.index.Number(order)
		back, ok := w.index.Order(n)
		if !ok || back != order || seen[n] || n >= 1<<52 {
			t.Fatalf("order %d is number %d, which is %d, %t", order, n, back, ok)
		}
		seen[n] = true
	}
	valid := 0
	for range 10_000 {
		if _, ok := w.index.Order(w.random.Uint64N(1 << 52)); ok {
			valid++
		}
	}
	if valid > 30 {
		t.Errorf("%d of 10,000 random numbers are orders", valid)
	}
	if _, ok := w.index.Order(1 << 60); ok {
		t.Error("a number of 61 bits is an order")
	}
}

// filesWith returns the files in a directory that have some bytes.
func filesWith(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), FileName) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			names = append(names, f.Name())
		}
	}
	return names
}

// TestForget leaves nothing of what is forgotten in the files. The secret words begin as
// no others do, so all of them but perhaps the beginning is there as it is.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, openSQLite(t, dir), dir, small)
	const edited, deleted, erased, kept = "ζζedited", "ηηdeleted", "θθerased", "ψψkept"
	ann := storetest.Username(t, "ann")
	first := w.say(w.rooms[0], "ann", "x "+edited)
	second := w.say(w.rooms[0], "ann", "x "+deleted)
	for range 100 {
		w.say(w.rooms[1], "bob", w.text(10)+"x "+kept)
	}
	third := w.say(w.rooms[2], ann.String(), "x "+erased)
	w.wait()
	for _, word := range []string{edited, deleted, erased} {
		if len(filesWith(t, dir, word[4:])) == 0 {
			t.Errorf("%s is in no file before: the test sees nothing", word)
		}
	}
	w.append(w.rooms[0], "ann", kaban.KindEdit, first, "something else", true)
	w.append(w.rooms[0], "ann", kaban.KindDelete, second, "", true)
	w.wait()
	for _, word := range []string{edited, deleted} {
		if found := w.find(word, nil); len(found) > 0 {
			t.Errorf("%s is found: %v", word, found)
		}
	}
	if err := w.index.Forget(t.Context(), Range{w.rooms[2], third, third}); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{edited, deleted, erased} {
		if in := filesWith(t, dir, word[4:]); len(in) > 0 {
			t.Errorf("%s is still in %v", word, in)
		}
		if found := w.find(word, nil); len(found) > 0 {
			t.Errorf("%s is found: %v", word, found)
		}
	}
	if got := len(w.find(kept, nil)); got != 100 {
		t.Errorf("%d messages are left, want 100", got)
	}
	if len(filesWith(t, dir, kept[4:])) == 0 {
		t.Error("what is kept is in no file: the test sees nothing")
	}
	if len(w.find("from:ann", nil)) != 1 {
		t.Error("the edited message is not found by its author alone")
	}
}

// TestForgetRanges forgets the fronts of some rooms at once, whose messages are mixed with those of others. Once they are
// gone, forgetting them again changes nothing.
func TestForgetRanges(t *testing.T) {
	w := newWorld(t, openSQLite(t, t.TempDir()), "", small)
	var seqs [3][]uint64
	for i := range 300 {
		room := i % 3
		seq := w.say(w.rooms[room], "ann", "mixed "+w.text(3))
		seqs[room] = append(seqs[room], seq)
	}
	w.wait()
	ranges := []Range{{w.rooms[2], 1, seqs[2][9]}, {w.rooms[0], 1, seqs[0][69]}, {w.rooms[2], seqs[2][90], seqs[2][99]}}
	const kept = 300 - 70 - 20
	if err := w.index.Forget(t.Context(), ranges...); err != nil {
		t.Fatal(err)
	}
	// The store has all of them, but a search finds what the index has.
	if got := len(w.find("mixed", nil)); got != kept {
		t.Errorf("%d messages are left, want %d", got, kept)
	}
	var dirty int
	err := w.index.db.transact(func(tx *sql.Tx) error {
		wr := writer{x: w.index, tx: tx}
		defer wr.close()
		switch fronts, err := wr.removeRanges(ranges); {
		case err != nil:
			return err
		case len(fronts) > 0:
			t.Errorf("fronts are forgotten again: %v", fronts)
		}
		for i, want := range []uint64{seqs[0][69], 0, seqs[2][9]} {
			var kept uint64
			if err := tx.QueryRow("SELECT forgotten FROM rooms WHERE name = ?", w.rooms[i].String()).Scan(&kept); err != nil {
				return err
			}
			if kept != want {
				t.Errorf("the front of room %d is forgotten up to %d, want %d", i, kept, want)
			}
		}
		return tx.QueryRow("SELECT coalesce(sum(dirty), 0) FROM volumes").Scan(&dirty)
	})
	if err != nil || dirty != 0 {
		t.Errorf("forgetting again has %d messages hidden, %v", dirty, err)
	}
}

// TestMadeAnew damages the index in several ways. Each time it is made anew.
func TestMadeAnew(t *testing.T) {
	overwrite := func(from, to int) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := from; i < min(to, len(data)); i++ {
				data[i] ^= 0x5A
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(t *testing.T, path string){
		"missing":  func(t *testing.T, path string) { os.Remove(path) },
		"empty":    func(t *testing.T, path string) { os.WriteFile(path, nil, 0o600) },
		"no index": func(t *testing.T, path string) { os.WriteFile(path, []byte("something else, and long enough"), 0o600) },
		"header":   overwrite(0, 200),
		"schema":   overwrite(100, 4096),
		"pages":    overwrite(4096, 1<<30),
		"other epoch": func(t *testing.T, path string) {
			os.Remove(path)
			db, err := create(context.Background(), path, "another", "secret")
			if err != nil {
				t.Fatal(err)
			}
			db.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorld(t, openSQLite(t, dir), dir, small)
			for range 200 {
				w.change()
			}
			w.wait()
			w.index.Close()
			damage(t, filepath.Join(dir, FileName))
			w.open()
			w.wait()
			w.find("foo", nil) // may find the damage
			w.wait()
			w.compare(30)
		})
	}
}

// The log has the reason once.
func TestUnusable(t *testing.T) {
	for _, err := range []error{errMalformed, fmt.Errorf("%w: it is of version 2, not 3", errUnusable)} {
		if got := unusable(err); !errors.Is(got, errUnusable) || strings.Count(got.Error(), errUnusable.Error()) != 1 {
			t.Errorf("got %v", got)
		}
	}
	if err := errors.New("another"); unusable(err) != err || unusable(nil) != nil {
		t.Error("an error that is no damage is changed")
	}
}

// TestForgottenWindow drops volumes of which a store that forgets keeps nothing.
func TestForgottenWindow(t *testing.T) {
	w := newWorld(t, memory.New(20_000), "", small)
	for i := range 600 {
		w.say(w.rooms[0], "ann", "some words of a message")
		if i%50 == 49 { // so that there are statements about all volumes
			w.wait()
			w.find("words", nil)
		}
	}
	w.wait()
	for i := 0; ; i++ {
		var volumes int
		var oldest uint64
		w.index.writing.Lock()
		err := w.index.db.write.QueryRow("SELECT count(*), min(id) FROM volumes").Scan(&volumes, &oldest)
		for key := range w.index.db.statements {
			if strings.Contains(key.query, "%s") && key.volume < oldest {
				t.Errorf("a statement about volume %d is open, the oldest is %d", key.volume, oldest)
			}
		}
		w.index.writing.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if volumes < 10 {
			break
		}
		if i == 1000 {
			t.Fatalf("%d volumes are left", volumes)
		}
		w.say(w.rooms[0], "ann", "more")
		w.wait()
	}
	if len(w.find("more OR words", nil)) != 0 {
		t.Error("OR is an operator")
	}
}

// check returns what Check finds.
func (w *world) check() []string {
	w.t.Helper()
	problems, err := Check(w.t.Context(), w.dir, func() ([]store.Room, error) { return w.store.Rooms(w.t.Context()) })
	if err != nil {
		w.t.Fatal(err)
	}
	return problems
}

// TestCheck finds an index that is sound, also while it is in use, and one that is not.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, openSQLite(t, dir), dir, small)
	for range 200 {
		w.change()
	}
	w.wait()
	if got := w.check(); len(got) > 0 {
		t.Errorf("a sound index in use: %q", got)
	}
	w.index.Close()
	if got := w.check(); len(got) > 0 {
		t.Errorf("a sound index: %q", got)
	}
	change := func(query string) {
		db, err := openFile(t.Context(), filepath.Join(dir, FileName), false)
		if err == nil {
			_, err = db.write.Exec(query)
			db.close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(){
		"a cursor":    func() { change("UPDATE rooms SET cursor = cursor + 1000") },
		"a chunk":     func() { change("UPDATE chunks SET items = x'FFFFFF' WHERE id = 1") },
		"a room less": func() { change("DELETE FROM rooms WHERE id = 1") },
		"terms":       func() { change("UPDATE v0_data SET block = x'00' WHERE id > 100") },
		"pages": func() {
			broken := slices.Clone(whole)
			for i := 8192; i < len(broken); i++ {
				broken[i] ^= 0x5A
			}
			os.WriteFile(filepath.Join(dir, FileName), broken, 0o600)
		},
	} {
		damage()
		if len(w.check()) == 0 {
			t.Errorf("%s: nothing is found wrong", name)
		}
		if err := os.WriteFile(filepath.Join(dir, FileName), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.check(); len(got) > 0 {
		t.Errorf("a sound index at the end: %q", got)
	}
}

// Whoever forgets messages does not wait until the index has rested.
func TestForgetEndsARest(t *testing.T) {
	s := memory.New(0)
	w := &world{t: t, store: s, dir: t.TempDir(), random: rand.New(rand.NewPCG(3, 4)), rooms: []kaban.RoomName{storetest.RoomName(t, "lobby")}}
	rests := make(chan struct{}, 100)
	for range 3 * burst {
		if r := w.append(w.rooms[0], "ann", kaban.KindMessage, 0, "tea", false); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	w.index = Open(s, w.dir, Options{rest: func() time.Duration {
		rests <- struct{}{}
		return time.Hour
	}})
	defer w.index.Close()
	<-rests // in its transaction
	forgotten := make(chan error, 1)
	go func() { forgotten <- w.index.Forget(t.Context(), Range{w.rooms[0], 1, 1}) }()
	select {
	case err := <-forgotten:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it waits for the rest")
	}
	q, err := search.Parse("tea", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := w.index.Find(t.Context(), search.Ask{Query: q, All: true, Limit: 1000})
	if n := len(found.List); err != nil || n < burst-1 || n >= 3*burst-1 || found.List[n-1].Seq != 2 {
		t.Errorf("%d messages are found, %v; want from %d to %d, from the second on", n, err, burst-1, 3*burst-2)
	}
}

// TestRunsOfReactions reads messages between runs of reactions that are longer than a page, and
// comes to the end of the room.
func TestRunsOfReactions(t *testing.T) {
	w := newWorld(t, memory.New(0), "", small)
	var want []uint64
	for range 3 {
		seq := w.say(w.rooms[0], "ann", "word")
		want = append(want, seq)
		for i := range 9 {
			if r := w.append(w.rooms[0], "bob", kaban.KindReact, seq, kaban.Switch(i%2 == 0, "👍"), true); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	f := feed{room: &room{name: w.rooms[0]}, head: 30}
	var got []uint64
	for f.read < f.head {
		if err := f.fill(t.Context(), w.store, store.Page{NoReactions: true, Limit: 4}); err != nil {
			t.Fatal(err)
		}
		for i := range f.entries {
			f.read = f.entries[i].Seq
			got = append(got, f.read)
		}
		f.entries = nil
	}
	if !slices.Equal(got, want) || f.read != 30 {
		t.Errorf("the index reads %v up to %d, want %v up to 30", got, f.read, want)
	}
	w.wait()
	if found := w.find("word", nil); len(found) != 3 {
		t.Errorf("found %v, want 3 messages", found)
	}
	if s := w.index.Status(); s.Behind != 0 {
		t.Errorf("the index is behind by %d entries", s.Behind)
	}
}
