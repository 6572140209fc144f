package sqlite

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

var (
	flipAll  = flag.Bool("flip.all", false, "flip every bit, instead of one in some")
	flipMore = flag.Int("flip.more", 1, "flip so many times as many bits, such as 20")
)

// varied returns a data directory with everything that can be in one: rooms, users, other
// spellings, contents of all lengths, merged and unmerged entries, a backlog in the WAL.
func varied(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := still(t, dir, Options{mergeStep: 8, shortestRun: 2})
	for i := range 60 {
		content := fmt.Sprintf("message %d: %s", i, strings.Repeat("Žluťoučký kůň 😀 ", i%7))
		if i == 11 {
			content = strings.Repeat("overflow ", 1000)[:9000]
		}
		user := []string{"ann", "bob", "Ann", "zoë-κ"}[i%4]
		id, err := kaban.ParseMessageID(fmt.Sprint("id-", i))
		if err != nil {
			t.Fatal(err)
		}
		m, err := kaban.NewMessage(storetest.Username(t, user), content, kaban.MaxContentCeiling)
		if err != nil {
			t.Fatal(err)
		}
		write := store.Write{Draft: m.Draft(kaban.Visitor(m.Username()), storetest.RoomName(t, []string{"lobby", "kitchen", "Ops"}[i%3]), id)}
		if i%5 == 2 {
			write.Mentions = []*store.Mentions{{Accounts: []string{"dan", "eve"}}, {Everyone: true}, {Here: true, Online: []string{"dan", "fay"}}}[i/5%3]
		}
		if i%4 == 3 || i == 9 {
			write.Files = storetest.Files(t, fmt.Sprintf("picture %d of a kůň.png", i))
		}
		results := make([]store.Result, 1)
		if err := s.Append(t.Context(), []store.Write{write}, results); err != nil || results[0].Err != nil {
			t.Fatal(err, results[0].Err)
		}
		switch i {
		case 30:
			mergeNow(t, s)
		case 50:
			merge(t, s, 8)
		}
		if i%20 == 15 { // merged, merged later, and not merged
			storetest.Append(t, s, variedChanges(t, i)...)
		}
		if i%7 == 0 {
			put(t, s, fmt.Sprintf("document/%d/é", i), strings.Repeat(content, i%3), fmt.Sprint("changed/", i%4), fmt.Sprint("\x00\xff", i))
			bump(t, s, []string{"lobby", "Ops"}[i%2])
		}
	}
	return dir
}

// changesIn is the number of the changes of varied.
const changesIn = 3 * 7

// variedChanges returns changes of messages of the lobby, of every kind.
func variedChanges(t *testing.T, i int) (drafts []kaban.Draft) {
	add := func(kind kaban.Kind, author string, target int, body string) {
		d := storetest.Draft(t, "lobby", author, fmt.Sprintf("change-%d-%d", i, len(drafts)), "x")
		d.Kind, d.Target, d.Body = kind, uint64(target), body
		drafts = append(drafts, d)
	}
	add(kaban.KindEdit, "ann", 1, fmt.Sprint("edited at ", i))
	add(kaban.KindReact, "bob", 1, kaban.Switch(true, "👍"))
	add(kaban.KindReact, []string{"ann", "cleo", "zoë-κ"}[i/20], 1, kaban.Switch(true, "🎉"))
	add(kaban.KindReact, "bob", 1, kaban.Switch(false, "👍"))
	add(kaban.KindPin, "bob", 2, kaban.Switch(i != 35, ""))
	add(kaban.KindMessage, "ann", 3, "an answer")
	add(kaban.KindDelete, "ann", []int{4, 5, 3}[i/20], "")
	return drafts
}

// kept is everything that can be read from a database, in every way.
type kept struct {
	epoch     string
	records   []string
	documents []string
	found     []string // by id, through the indexes
	rooms     []string // by key
	states    []string // of messages
}

func keptIn(ctx context.Context, dir string) (k kept, err error) {
	s, err := OpenArchive(ctx, dir)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	type id struct{ room, user, id string }
	var ids []id
	var keys []string
	err = s.Export(ctx, nil, store.Receiver{Damaged: asError, Document: func(d *store.Document) error {
		k.documents = append(k.documents, fmt.Sprintf("%q %x", d.Key, d.Value))
		return nil
	}, Record: func(r *store.Record) error {
		k.records = append(k.records, fmt.Sprintf("%+v", *r))
		ids = append(ids, id{r.Room.Key(), r.Author.ID(), r.ID.String()})
		if !slices.Contains(keys, r.Room.Key()) {
			keys = append(keys, r.Room.Key())
		}
		return nil
	}})
	if err != nil {
		return k, err
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT epoch FROM store").Scan(&k.epoch); err != nil {
		return k, err
	}
	for _, id := range ids {
		found, err := lines(ctx, s.conn, fmt.Sprintf(`SELECT u.id || ' ' || e.place || e.content FROM users u INDEXED BY sqlite_autoindex_users_1 JOIN rooms r
			JOIN entries e INDEXED BY ids ON e.place >> 40 = r.id AND e.user = u.id AND e.id = '%s' WHERE u.key = '%s' AND r.key = '%s'`, id.id, id.user, id.room))
		if err != nil {
			return k, err
		}
		k.found = append(k.found, fmt.Sprint(id, found))
	}
	for _, room := range keys {
		found, err := lines(ctx, s.conn, fmt.Sprintf("SELECT id || name || head || ' ' || revision || ' ' || messages FROM rooms INDEXED BY sqlite_autoindex_rooms_1 WHERE key = '%s'", room))
		if err != nil {
			return k, err
		}
		k.rooms = append(k.rooms, fmt.Sprint(room, found))
	}
	for _, query := range []string{
		"SELECT format('%d %d %d %d %d %d %d %d', place, edited, edited_time, deleted, deleted_time, pinned, pinned_time, replies) FROM states",
		"SELECT format('%d %s %d %s', place, emoji, first, hex(people)) FROM reactions",
		"SELECT format('%d %s %d', place, hex(hash), older) FROM originals",
		"SELECT format('%d %d %d %d', room, user, messages, last) FROM written",
		"SELECT format('%d %d', place, last) FROM runs",
		"SELECT format('%s %d %d %d %d %s', account, place, cause, user, time, online) FROM mentions",
		"SELECT format('%s %d', account, place) FROM mentions INDEXED BY mentions_of_message WHERE place > 0",
		"SELECT format('%s %d %d', account, place, time) FROM mentions INDEXED BY mentions_by_time WHERE time > 0",
	} {
		found, err := lines(ctx, s.conn, query)
		if err != nil {
			return k, err
		}
		k.states = append(k.states, found...)
	}
	return k, nil
}

func (k kept) equal(other kept) bool {
	return k.epoch == other.epoch && slices.Equal(k.records, other.records) && slices.Equal(k.documents, other.documents) && slices.Equal(k.found, other.found) && slices.Equal(k.rooms, other.rooms) && slices.Equal(k.states, other.states)
}

// check returns the problems that Check finds as one error.
func check(ctx context.Context, dir string) (err error) {
	s, err := OpenArchive(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.pause = 0 // there is no writer
	report, err := s.Check(ctx)
	if err != nil {
		return err
	}
	return report.Err()
}

// bitsOf picks bits of a file: many in and near bytes that are used, and a few in long
// runs of zeros, which are unused. It is one bit in so many.
func bitsOf(content []byte, used, unused int) (picked []int) {
	used, unused = max(1, used / *flipMore), max(1, unused / *flipMore)
	far, nextUsed, nextUnused := 16, 0, 0
	for i, b := range content {
		if far++; b != 0 || i < len(content)-8 && content[i+8] != 0 {
			far = 0
		}
		for bit := i * 8; bit < i*8+8; bit++ {
			next, step := &nextUsed, used
			if far > 8 {
				next, step = &nextUnused, unused
			}
			if *next--; *next < 0 || *flipAll {
				picked, *next = append(picked, bit), step-1
			}
		}
	}
	return picked
}

// segmentName is the name of the first segment of a journal.
const segmentName = journalName + "/0000000000000001.segment"

// For each flipped bit in a database, its WAL or its journal, Check reports damage or all
// data are unchanged.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	dir := varied(t) // with data in all files
	closed := copyFiles(t, dir)
	closeStore(t, open(t, closed, Options{maxUnmerged: 24, mergeStep: 8}))
	for _, c := range []struct {
		name, dir, file string
		used, unused    int
	}{
		{"database", closed, databaseName, 3607, 150_001},
		{"WAL", dir, databaseName + "-wal", 6607, 320_009},
		{"segment", dir, segmentName, 1999, 8_000_009},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := copyFiles(t, c.dir)
			os.Remove(filepath.Join(at, databaseName+"-shm"))
			want, err := keptIn(t.Context(), at)
			if err != nil || len(want.records) != 60+changesIn || len(want.states) < 6 || len(want.documents) != 9+4+1 {
				t.Fatalf("%d records, %v", len(want.records), err)
			}
			if err := check(t.Context(), at); err != nil {
				t.Fatalf("before any damage: %v", err)
			}
			path := filepath.Join(at, c.file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found, harmless := 0, 0
			for _, bit := range bitsOf(content, c.used, c.unused) {
				os.Remove(filepath.Join(at, databaseName+"-shm"))
				content[bit/8] ^= 1 << (bit % 8)
				err := os.WriteFile(path, content, 0o600)
				content[bit/8] ^= 1 << (bit % 8)
				if err != nil {
					t.Fatal(err)
				}
				reported := check(t.Context(), at)
				if reported != nil {
					found++
				} else if got, err := keptIn(t.Context(), at); err != nil || !got.equal(want) {
					t.Errorf("bit %d of byte %d of page %d: Check finds nothing, but the data differ (%v)\n%v", bit%8, bit/8%4096, bit/8/4096+1, err, got)
				} else {
					harmless++
				}
			}
			t.Logf("%d flips were found, %d changed nothing that is kept", found, harmless)
			if found < 50 {
				t.Errorf("only %d flips were found: the test proves nothing", found)
			}
		})
	}
}

// For each flipped bit, a server either does not start or never returns anything that was
// not written. With a flip in the journal it does not start, and the error names the
// journal, or everything is as it was.
func TestAFlippedBitIsNeverServed(t *testing.T) {
	t.Parallel()
	original := varied(t)
	s := open(t, copyFiles(t, original), Options{})
	want := make(map[string][]store.Entry)
	for _, room := range []string{"lobby", "kitchen", "ops"} {
		want[room] = all(t, s, room)
	}
	closeStore(t, s)
	closed := copyFiles(t, original) // with all data in the database
	closeStore(t, open(t, closed, Options{maxUnmerged: 24, mergeStep: 8}))
	for _, c := range []struct {
		file, original string
		used, unused   int // 0: the size of the file, by what follows
		parts          int
	}{
		{databaseName, closed, 0, 0, 20},
		{databaseName + "-wal", original, 0, 0, 20},
		{segmentName, original, 2003, 4_000_037, 0},
	} {
		content, err := os.ReadFile(filepath.Join(c.original, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if c.parts > 0 {
			c.used, c.unused = len(content)/c.parts, len(content)
		}
		refused, damaged, good := 0, 0, 0
		bits := bitsOf(content, c.used, c.unused)
		for _, bit := range bits {
			dir := copyFiles(t, c.original)
			os.Remove(filepath.Join(dir, databaseName+"-shm"))
			content[bit/8] ^= 1 << (bit % 8)
			err := os.WriteFile(filepath.Join(dir, c.file), content, 0o600)
			content[bit/8] ^= 1 << (bit % 8)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), dir, Options{})
			if err != nil {
				refused++
				if c.file == segmentName && !(errors.Is(err, store.ErrDamaged) && strings.Contains(err.Error(), filepath.Join(dir, journalName))) {
					t.Errorf("bit %d of byte %d of %s: %v does not name the journal", bit%8, bit/8, c.file, err)
				}
				continue
			}
			for room, entries := range want {
				for i := range entries {
					got, err := s.Read(t.Context(), storetest.RoomName(t, room), store.Page{After: uint64(i), Limit: 1, Last: i%2 == 0, Before: uint64(i) + 2})
					switch {
					case errors.Is(err, store.ErrDamaged) && c.file != segmentName:
						damaged++
					case err != nil || len(got) != 1 || !isServed(got[0], entries[i]):
						t.Errorf("bit %d of byte %d of %s: message %d of %s is read as %+v, %v", bit%8, bit/8, c.file, i+1, room, got, err)
					default:
						good++
					}
				}
			}
			s.Close()
			os.RemoveAll(dir)
		}
		t.Logf("%s: of %d flips %d starts were refused, %d reads found damage, %d did not", c.file, len(bits), refused, damaged, good)
		if c.file == segmentName && (refused < 20 || good == 0) {
			t.Errorf("%s: of %d flips %d were found: the test proves nothing", c.file, len(bits), refused)
		}
	}
}

// isServed reports whether an entry is read as it is. A row of states that has vanished with
// a part of its page is found by Check alone: then nothing has become of the message.
func isServed(got, want store.Entry) bool {
	if got.State == nil {
		want.State = nil
	}
	return cmp.Equal(got, want)
}

func TestADamagedMessage(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 30)...)
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 3)...)
	mergeNow(t, s)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 30, 3)...) // unmerged, in the journal
	appendSlowly(t, s, numbered(t, "lobby", "ann", 33, 2)...)     // and in a row
	dir = crash(t, s)
	corrupt(t, filepath.Join(dir, databaseName),
		"UPDATE entries SET content = 'massage 9' WHERE place & 0xFFFFFFFFFF = 10 AND place >> 40 = 1",
		"UPDATE entries SET content = x'' || char(65533) WHERE place & 0xFFFFFFFFFF = 11 AND place >> 40 = 1",
		"UPDATE entries SET time = time + 1 WHERE place & 0xFFFFFFFFFF = 20 AND place >> 40 = 1")
	logged := &strings.Builder{}
	s = open(t, dir, Options{Log: slog.New(slog.NewTextHandler(logged, nil))})
	lobby := storetest.RoomName(t, "lobby")
	for _, c := range []struct {
		page        store.Page
		first, last uint64
		damaged     uint64
	}{
		{store.Page{Limit: 500}, 1, 9, 0},
		{store.Page{After: 9, Limit: 500}, 0, 0, 10},
		{store.Page{After: 10, Limit: 500}, 0, 0, 11},
		{store.Page{After: 11, Limit: 500}, 12, 19, 0},
		{store.Page{After: 20, Limit: 500}, 21, 35, 0},
		{store.Page{Last: true, Limit: 500, Bytes: 1 << 20}, 21, 35, 0},
		{store.Page{Last: true, Limit: 500}, 21, 35, 0},
		{store.Page{Last: true, Limit: 500, Before: 21}, 0, 0, 20},
		{store.Page{Last: true, Limit: 500, Before: 20, Bytes: 1 << 20}, 12, 19, 0},
		{store.Page{Last: true, Limit: 500, Before: 10}, 1, 9, 0},
		{store.Page{After: 9, Limit: 1}, 0, 0, 10},
	} {
		for _, c.page.NoReactions = range []bool{false, true} { // there are none
			got, err := s.Read(t.Context(), lobby, c.page)
			if bad, ok := errors.AsType[*store.DamagedError](err); ok != (c.damaged != 0) || ok && (bad.Seq != c.damaged || bad.Room != lobby) {
				t.Errorf("%+v: %v, want damage at %d", c.page, err, c.damaged)
			}
			if c.damaged == 0 && (len(got) == 0 || got[0].Seq != c.first || got[len(got)-1].Seq != c.last || uint64(len(got)) != c.last-c.first+1) {
				t.Errorf("%+v: %d entries, want %d to %d", c.page, len(got), c.first, c.last)
			}
		}
	}
	for _, want := range []string{"room=lobby seq=10", "room=lobby seq=11", "room=lobby seq=20", "kaban check"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, logged)
		}
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 3 {
		t.Errorf("%d errors are logged, want each once:\n%s", n, logged)
	}
	// If the first use of an id cannot be read, it is unknown whether this is a duplicate.
	results := storetest.Append(t, s, numbered(t, "lobby", "ann", 9, 1)[0], numbered(t, "lobby", "ann", 8, 1)[0], numbered(t, "lobby", "ann", 40, 1)[0])
	if !errors.Is(results[0].Err, store.ErrDamaged) || !results[1].Duplicate || results[1].Seq != 9 || results[2].Seq != 36 {
		t.Errorf("sent again: %+v", results)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "message 10 of lobby is damaged: its checksum does not match, and 2 more are damaged") {
		t.Errorf("check: %v", err)
	}
	// Everything else can be exported. A backup is refused.
	var damaged []uint64
	n := 0
	err := archive(t, dir).Export(t.Context(), nil, store.Receiver{Record: func(*store.Record) error { n++; return nil }, Damaged: func(err error) error {
		if bad, ok := errors.AsType[*store.DamagedError](err); ok {
			damaged = append(damaged, bad.Seq)
		}
		return nil
	}})
	if err != nil || n != 36-3+3 || !slices.Equal(damaged, []uint64{10, 11, 20}) {
		t.Errorf("export: %d messages, %v damaged, %v", n, damaged, err)
	}
	_, err = archive(t, dir).Backup(t.Context(), filepath.Join(t.TempDir(), "backup.db"), nil)
	wantError(t, err, "is damaged", "message 10 of lobby")
	_, err = Restore(t.Context(), t.TempDir(), filepath.Join(dir, databaseName), true, nil)
	wantError(t, err, "cannot be restored", "message 10 of lobby")
}

func TestADamagedUser(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 2)...)
	storetest.Append(t, s, numbered(t, "lobby", "bob", 2, 2)...)
	mergeNow(t, s)
	closeStore(t, s)
	corrupt(t, filepath.Join(dir, databaseName), "UPDATE users SET name = 'Anm' WHERE key = 'visitor:ann'")
	s = open(t, dir, Options{})
	if _, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 10}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("ann's messages are read: %v", err)
	}
	if got, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{After: 2, Limit: 10}); err != nil || len(got) != 2 {
		t.Errorf("bob's messages: %v, %v", got, err)
	}
	results := storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "new", "x"), storetest.Draft(t, "lobby", "bob", "new", "x"))
	if !errors.Is(results[0].Err, store.ErrDamaged) || results[1].Err != nil || results[1].Seq != 5 {
		t.Errorf("got %+v", results)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "user 1") {
		t.Errorf("check: %v", err)
	}
}

// The WAL after a crash is not damaged: it ends anywhere, or sectors of the last
// transaction, which was not synced, are missing.
func TestATornWALIsNoDamage(t *testing.T) {
	original := varied(t)
	path := filepath.Join(original, databaseName+"-wal")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const frame = walFrameHeader + pageSize
	frames := (len(content) - walHeaderSize) / frame
	begin := frames - 1 // the first frame of the last transaction
	for begin > 0 && !isCommit(content[walHeaderSize+(begin-1)*frame:]) {
		begin--
	}
	if frames < 20 || begin == frames {
		t.Fatalf("%d frames, the last transaction starts at %d: the test proves nothing", frames, begin)
	}
	torn := map[string][]byte{"empty": nil, "half a header": content[:17]}
	for _, cut := range []int{frames - 1, frames / 2, 1} {
		torn[fmt.Sprint("cut in frame ", cut)] = content[:walHeaderSize+cut*frame+1000]
	}
	for at := walHeaderSize + begin*frame; at+512 < len(content); at += 1536 {
		lost := slices.Clone(content)
		clear(lost[at : at+512])
		torn[fmt.Sprint("without a sector at ", at)] = lost
	}
	for name, wal := range torn {
		if damage, err := inspectWAL(bytes.NewReader(wal)); damage != nil || err != nil {
			t.Errorf("%s: %v, %v", name, damage, err)
		}
	}
	// A missing sector in the middle is damage, since later frames were synced.
	middle := slices.Clone(content)
	clear(middle[walHeaderSize+frames/2*frame:][:512])
	if damage, err := inspectWAL(bytes.NewReader(middle)); damage == nil || err != nil {
		t.Errorf("a lost sector in the middle: %v, %v", damage, err)
	}
	header := slices.Clone(content)
	clear(header[:walHeaderSize])
	if damage, err := inspectWAL(bytes.NewReader(header)); damage == nil || damage.frame != 0 || err != nil {
		t.Errorf("a lost header: %v, %v", damage, err)
	}
	// A WAL that has restarted is not damaged.
	s := open(t, copyFiles(t, original), Options{walPages: 10})
	for i := range 40 {
		storetest.Append(t, s, numbered(t, "lobby", "ann", 1000+i, 1)...)
		if damage, err := inspectWALOf(s.path); damage != nil || err != nil {
			t.Fatalf("after %d more: %v, %v", i+1, damage, err)
		}
	}
}

func TestADamagedWALIsRefused(t *testing.T) {
	dir := copyFiles(t, varied(t))
	os.Remove(filepath.Join(dir, databaseName+"-shm"))
	path := filepath.Join(dir, databaseName+"-wal")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 8
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "-wal", "transactions from there on are lost", "kaban backup", "kaban restore")
	// As the error says, everything before the damage can be saved.
	file := filepath.Join(t.TempDir(), "rest.db")
	report, err := archive(t, dir).Backup(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	rooms := report.Rooms
	if _, err := Restore(t.Context(), dir, file, true, nil); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Options{})
	if got := all(t, s, rooms[0].Room.Name.String()); uint64(len(got)) != rooms[0].Entries || len(got) == 0 {
		t.Errorf("%d entries, want %d", len(got), rooms[0].Entries)
	}
}

func TestRestoreOfAnExportNamesImport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "all.jsonl")
	for _, text := range []string{`{"type":"message"}` + "\n", "\ufeff{\"type\":\"message\"}\r\n", "\n{}"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Restore(t.Context(), t.TempDir(), file, true, nil)
		wantError(t, err, "is an export", "kaban import")
	}
}
