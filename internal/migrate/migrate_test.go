//go:build unix

package migrate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Checks(5)
	code := m.Run()
	postgrestest.Stop()
	os.Exit(code)
}

func inDirectory(t *testing.T, dir string) store.Movable {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{Moving: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func inDatabase(t *testing.T, url string) store.Movable {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Moving: true, Careless: true, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newDirectory(t *testing.T) store.Movable { return inDirectory(t, t.TempDir()) }

func newDatabase(t *testing.T) store.Movable { return inDatabase(t, postgrestest.Database(t)) }

// Whatever has happened in a store, the other one goes on with it.
func TestRandomStores(t *testing.T) {
	move := func(t *testing.T, from, to store.Movable) error {
		_, err := Run(context.Background(), from, to, Options{})
		return err
	}
	for name, ways := range map[string][2]func(t *testing.T) store.Movable{
		"to PostgreSQL":            {newDirectory, newDatabase},
		"from PostgreSQL":          {newDatabase, newDirectory},
		"between directories":      {newDirectory, newDirectory},
		"to PostgreSQL and back":   {newDirectory, newDirectory},
		"from PostgreSQL and back": {newDatabase, newDatabase},
	} {
		t.Run(name, func(t *testing.T) {
			moves := storetest.Moves{From: ways[0], To: ways[1], Move: move}
			switch name {
			case "to PostgreSQL and back":
				moves.Move = through(newDatabase, move)
			case "from PostgreSQL and back":
				moves.Move = through(newDirectory, move)
			}
			storetest.RunMove(t, moves)
		})
	}
}

// through moves by way of another store.
func through(open func(t *testing.T) store.Movable, move func(t *testing.T, from, to store.Movable) error) func(t *testing.T, from, to store.Movable) error {
	return func(t *testing.T, from, to store.Movable) error {
		between := open(t)
		defer between.Close()
		if err := move(t, from, between); err != nil {
			return err
		}
		return move(t, between, to)
	}
}

// fill puts rooms, changes, cuts and documents into a store.
func fill(t *testing.T, s store.Store, messages int) {
	t.Helper()
	for i := range messages {
		d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i), fmt.Sprint("message ", i))
		w := store.Write{Draft: d, Mentions: &store.Mentions{Accounts: []string{"17"}}}
		if err := s.Append(t.Context(), []store.Write{w}, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	edit, react, remove := storetest.Draft(t, "lobby", "ann", "edit", "edited"), storetest.Draft(t, "lobby", "bob", "react", "+👍"), storetest.Draft(t, "lobby", "ann", "remove", "spam")
	edit.Kind, edit.Target = kaban.KindEdit, 2
	react.Kind, react.Target = kaban.KindReact, 2
	remove.Kind, remove.Target = kaban.KindDelete, 3
	again := react
	again.ID = storetest.Draft(t, "lobby", "bob", "again", "x").ID
	storetest.Append(t, s, edit, react, again, remove)
	for _, room := range []string{"attic", "Kitchen"} {
		storetest.Append(t, s, storetest.Draft(t, room, "bob", "one", "in "+room), storetest.Draft(t, room, "Ann", "two", "x"))
	}
	if _, err := s.Cut(t.Context(), storetest.RoomName(t, "attic"), store.Age{Before: math.MaxInt64, Now: math.MaxInt64}, 1); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range 3 {
			if err := tx.Put(store.Key("account", fmt.Sprint(i)), []byte("{}")); err != nil {
				return err
			}
		}
		return tx.Bump(storetest.RoomName(t, "lobby"))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// export writes all that an archive exports.
func export(t *testing.T, a store.Archive) string {
	t.Helper()
	defer a.Close()
	var text strings.Builder
	err := a.Export(t.Context(), nil, store.Receiver{
		Document: func(d *store.Document) error { fmt.Fprintf(&text, "%q %q\n", d.Key, d.Value); return nil },
		Front:    func(f *store.Front) error { fmt.Fprintf(&text, "%v\n", *f); return nil },
		Record:   func(r *store.Record) error { fmt.Fprintf(&text, "%v\n", *r); return nil },
		Damaged:  func(err error) error { return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := a.Check(t.Context())
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		t.Error(err)
	}
	return text.String()
}

func directoryArchive(t *testing.T, dir string) store.Archive {
	t.Helper()
	a, err := sqlite.OpenArchive(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func databaseArchive(t *testing.T, url string) store.Archive {
	t.Helper()
	a, err := postgres.OpenArchive(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// There and back: exports are the same on all sides, and only the last one can be served.
func TestThereAndBack(t *testing.T) {
	first, url, last := t.TempDir(), postgrestest.Database(t), t.TempDir()
	from, to := inDirectory(t, first), inDatabase(t, url)
	fill(t, from, 20)
	epoch := from.Epoch()
	one, err := Run(t.Context(), from, to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Rooms != 3 || one.Entries != 23+1+2 || one.Documents != 3 || one.Copied != one.Entries || one.Resumed {
		t.Errorf("moved were %+v", one)
	}
	if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, ErrDone) {
		t.Errorf("the same again: %v, want %v", err, ErrDone)
	}
	from.Close()
	to.Close()
	from, to = inDatabase(t, url), inDirectory(t, last)
	two, err := Run(t.Context(), from, to, Options{})
	if err != nil || two.Sum != one.Sum || to.Epoch() != epoch {
		t.Errorf("moved back were %+v, %v; want the sum %s and the epoch %s, not %s", two, err, one.Sum, epoch, to.Epoch())
	}
	from.Close()
	to.Close()
	want := export(t, directoryArchive(t, first))
	for name, got := range map[string]string{"the database": export(t, databaseArchive(t, url)), "the last directory": export(t, directoryArchive(t, last))} {
		if got != want {
			t.Errorf("the export of %s is\n%s\nwant\n%s", name, got, want)
		}
	}
	if _, err := sqlite.Open(t.Context(), first, sqlite.Options{}); !errors.Is(err, store.ErrMoved) || !strings.Contains(err.Error(), "is in postgres://") {
		t.Errorf("the first directory opens: %v", err)
	}
	if _, err := postgres.Open(t.Context(), url, postgres.Options{Careless: true}); !errors.Is(err, store.ErrMoved) || !strings.Contains(err.Error(), last) {
		t.Errorf("the database opens: %v", err)
	}
	s, err := sqlite.Open(t.Context(), last, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// errKilled is the end of a process.
var errKilled = errors.New("killed")

// fragile is a store that fails at a call, before or after that is done, and at all further ones.
type fragile struct {
	store.Movable
	left  *int
	after bool
}

func (f *fragile) call(run func() error) error {
	*f.left--
	if *f.left < 0 || *f.left == 0 && !f.after {
		return errKilled
	}
	err := run()
	if *f.left == 0 {
		return errKilled
	}
	return err
}

func (f *fragile) NoteMove(ctx context.Context, m store.Move) error {
	return f.call(func() error { return f.Movable.NoteMove(ctx, m) })
}

func (f *fragile) Become(ctx context.Context, i store.Identity) error {
	return f.call(func() error { return f.Movable.Become(ctx, i) })
}

func (f *fragile) ImportDocuments(ctx context.Context, d []store.Document) (n int, err error) {
	err = f.call(func() error { n, err = f.Movable.ImportDocuments(ctx, d); return err })
	return n, err
}

func (f *fragile) ImportRooms(ctx context.Context, rooms []store.Room) error {
	return f.call(func() error { return f.Movable.ImportRooms(ctx, rooms) })
}

func (f *fragile) ImportFront(ctx context.Context, front *store.Front) (added bool, err error) {
	err = f.call(func() error { added, err = f.Movable.ImportFront(ctx, front); return err })
	return added, err
}

func (f *fragile) ImportKept(ctx context.Context, kept []store.Kept) (n int, err error) {
	err = f.call(func() error { n, err = f.Movable.ImportKept(ctx, kept); return err })
	return n, err
}

// Wherever it is interrupted, the same goes on, and ends as if it had not been. Until the end
// nobody can serve both.
func TestInterruptedAnywhere(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			first, second := t.TempDir(), t.TempDir()
			from, to := inDirectory(t, first), inDirectory(t, second)
			fill(t, from, 5)
			epoch, left := from.Epoch(), n
			_, err := Run(t.Context(), &fragile{from, &left, after}, &fragile{to, &left, after}, Options{})
			from.Close()
			to.Close()
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("interrupted at call %d: %v", n, err)
			}
			served := 0
			for _, dir := range []string{first, second} {
				if s, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); err == nil {
					if s.Epoch() == epoch {
						served++
					}
					s.Close()
				} else if !errors.Is(err, store.ErrMoved) {
					t.Error(err)
				}
			}
			if served > 1 {
				t.Errorf("interrupted at call %d, both serve", n)
			}
			from, to = inDirectory(t, first), inDirectory(t, second)
			if _, err := Run(t.Context(), from, to, Options{}); err != nil && !errors.Is(err, ErrDone) {
				t.Fatalf("interrupted at call %d, then: %v", n, err)
			}
			if to.Epoch() != epoch || from.Epoch() == epoch {
				t.Errorf("interrupted at call %d, the epochs are %s and %s, want %s at the target alone", n, from.Epoch(), to.Epoch(), epoch)
			}
			from.Close()
			to.Close()
			if got, want := export(t, directoryArchive(t, second)), export(t, directoryArchive(t, first)); got != want {
				t.Errorf("interrupted at call %d, the export is\n%s\nwant\n%s", n, got, want)
			}
		}
	}
}

// Three interruptions of a long one cost nothing that was copied.
func TestInterruptedWhileCopying(t *testing.T) {
	dir, url := t.TempDir(), postgrestest.Database(t)
	from := inDirectory(t, dir)
	const messages = 4 * entriesAtOnce
	records := make([]store.Record, messages)
	for i := range records {
		records[i] = store.Record{Draft: storetest.Draft(t, "lobby", fmt.Sprint("ann", i%9), fmt.Sprint("id-", i), "hello"), Seq: uint64(i + 1), Time: int64(i)}
	}
	if _, err := from.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	copied := uint64(0)
	for i := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		to := inDatabase(t, url)
		seen := uint64(0)
		report, err := Run(ctx, from, to, Options{Progress: func(phase Phase, done, total uint64) {
			if seen = done; i < 3 && phase == Copying && done >= uint64(i+1)*entriesAtOnce {
				cancel()
			}
		}})
		cancel()
		to.Close()
		switch {
		case i < 3 && !errors.Is(err, context.Canceled):
			t.Fatalf("run %d: %v, want it interrupted", i, err)
		case i == 3 && err != nil:
			t.Fatal(err)
		case i == 3 && (!report.Resumed || report.Copied >= messages || report.Copied == 0 || seen != messages):
			t.Errorf("the last run: %+v, seen %d", report, seen)
		case i == 3:
			copied = report.Copied
		}
	}
	if copied > messages/2 {
		t.Errorf("the last run has copied %d of %d", copied, messages)
	}
}

// What is not the same in the target is found and named, and the source can still be served.
func TestDamageIsFound(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"a text":        {"UPDATE entries SET content = 'other' WHERE seq = 7", "room lobby: message 7"},
		"a time":        {"UPDATE entries SET time = time + 1 WHERE seq = 2 AND room = (SELECT id FROM rooms WHERE key = 'kitchen')", "room kitchen: message 2"},
		"a row":         {"DELETE FROM entries WHERE seq = 9", "message 9 of lobby is damaged"},
		"a reaction":    {"DELETE FROM reactions", "room lobby: message 2"},
		"a state":       {"UPDATE states SET pinned = 1 WHERE seq = 2", "room lobby: message 2"},
		"a mention":     {"DELETE FROM mentions WHERE seq = 5", "room lobby: message 5"},
		"a noop":        {"DELETE FROM entries WHERE seq < 0", "room lobby: message 2"},
		"an original":   {"UPDATE entries SET original = NULL WHERE kind = 2", "room lobby: message 11"},
		"a head":        {"UPDATE rooms SET head = head - 1 WHERE key = 'lobby'", "room lobby has entries 1 to 12"},
		"a revision":    {"UPDATE rooms SET revision = 7 WHERE key = 'lobby'", "and revision 7"},
		"a count":       {"UPDATE counts SET front = 2, messages = 2 WHERE front > 0", "the counts of what was cut from room attic"},
		"a document":    {`UPDATE documents SET value = 'x' WHERE key = 'account/1'`, `the document "account/1" has another value`},
		"a key":         {`DELETE FROM documents WHERE key = 'account/1'`, `the document "account/1" is missing`},
		"one too many":  {`INSERT INTO documents VALUES ('account/00', 'x')`, `the document "account/00" should not be there`},
		"another epoch": {"UPDATE store SET epoch = 'other'", "the epoch"},
	} {
		t.Run(name, func(t *testing.T) {
			url := postgrestest.Database(t)
			from, to := newDirectory(t), inDatabase(t, url)
			fill(t, from, 10)
			broken := false
			_, err := Run(t.Context(), from, to, Options{Progress: func(phase Phase, done, total uint64) {
				if phase == Copying && done == total && !broken {
					broken = true
					execute(t, url, c.sql)
				}
			}})
			if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if note, err := from.Move(t.Context()); err != nil || note.Role != store.RoleSource {
				t.Errorf("the source is %+v, %v", note, err)
			}
		})
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	run := func(from, to store.Movable, want error) {
		t.Helper()
		if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, want) {
			t.Errorf("from %s to %s: %v, want %v", from.Place(), to.Place(), err, want)
		}
	}
	source, occupied := newDirectory(t), newDirectory(t)
	fill(t, source, 3)
	storetest.Append(t, occupied, storetest.Draft(t, "lobby", "ann", "a", "mine"))
	run(source, occupied, ErrOccupied)
	documents := newDirectory(t)
	if err := documents.Update(t.Context(), func(tx store.Tx) error { return tx.Put("a", []byte("b")) }); err != nil {
		t.Fatal(err)
	}
	run(source, documents, ErrOccupied)
	half := newDirectory(t)
	if err := half.NoteMove(t.Context(), store.Move{Role: store.RoleTarget, ID: "other", Other: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	run(source, half, ErrOccupied)
	run(half, newDirectory(t), store.ErrMoved)
	beside := newDirectory(t)
	fill(t, beside, 1)
	run(source, newDirectory(t), nil)
	run(source, newDirectory(t), store.ErrMoved)
	// What became of the places is said, and how it is given up.
	said := func(from, to store.Movable, parts ...string) {
		t.Helper()
		_, err := Run(t.Context(), from, to, Options{})
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("from %s to %s: %v, want %q", from.Place(), to.Place(), err, part)
			}
		}
	}
	said(source, newDirectory(t), source.GiveUp())
	said(beside, source, "has what was taken from there to", "name another place")
	begun := newDirectory(t)
	if err := begun.NoteMove(t.Context(), store.Move{Role: store.RoleSource, ID: "other", Other: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	said(beside, begun, "is being taken to elsewhere", begun.GiveUp())

	// In use, or of an older version.
	url := postgrestest.Database(t)
	node, err := postgres.Open(t.Context(), url, postgres.Options{Careless: true})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, node, storetest.Draft(t, "lobby", "ann", "a", "x"))
	open := func(want error) {
		t.Helper()
		s, err := postgres.Open(t.Context(), url, postgres.Options{Careless: true, Moving: true})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	open(postgres.ErrInUse)
	node.Close()
	moving := inDatabase(t, url)
	open(postgres.ErrInUse) // by another migration
	moving.Close()
	open(nil)
	execute(t, url, "UPDATE kaban_schema SET version = 1")
	open(store.ErrOlder)
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{Moving: true}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("a directory that is in use: %v", err)
	}
	s.Close()
	makeOlder(t, sqlite.PathIn(dir))
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{Moving: true}); !errors.Is(err, store.ErrOlder) {
		t.Errorf("a directory of an older version: %v", err)
	}
}

// makeOlder gives a database of SQLite the version of its first schema.
func makeOlder(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0, 0, 0, 1}, 60) // https://www.sqlite.org/fileformat.html, 1.3: the user version
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
