package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// withRuns returns a store that has merged runs of changes, so many entries at a time, and the
// runs that it must know.
func withRuns(t *testing.T, dir string, step int) (s *Store, want []string) {
	t.Helper()
	s = still(t, dir, Options{})
	for room := range 2 { // the first place of a room follows no other's last one
		head := 0
		add := func(kind kaban.Kind, n int) {
			var drafts []kaban.Draft
			for range n {
				head++
				target, body := uint64(1), fmt.Sprint("text ", head)
				if kind == kaban.KindMessage {
					target = 0
				}
				drafts = append(drafts, change(t, kind, fmt.Sprint("room-", room), "ann", fmt.Sprint("id", head), target, body))
			}
			for some := range slices.Chunk(drafts, step) {
				storetest.Append(t, s, some...)
				mergeNow(t, s)
			}
			if kind == kaban.KindEdit && n >= shortestRun {
				want = append(want, fmt.Sprint(room+1, ": ", head-n+1, " to ", head))
			}
		}
		for _, n := range []int{shortestRun - 1, shortestRun, shortestRun + 1, 3 * shortestRun} {
			add(kaban.KindMessage, 2)
			add(kaban.KindEdit, n)
		}
	}
	return s, want
}

const allRuns = "SELECT format('%d: %d to %d', place >> 40, place & 0xFFFFFFFFFF, last & 0xFFFFFFFFFF) FROM runs ORDER BY place"

func wantKnownRuns(t *testing.T, s *Store, want []string) {
	t.Helper()
	if got, err := lines(t.Context(), s.writer, allRuns); err != nil || !slices.Equal(got, want) {
		t.Errorf("the runs are %q, %v; want %q", got, err, want)
	}
}

// Runs are the same however many entries are merged at a time.
func TestRunsOfChangesAreKept(t *testing.T) {
	for _, step := range []int{1, 5, 64, 100, 1 << 10} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			s, want := withRuns(t, t.TempDir(), step)
			wantKnownRuns(t, s, want)
		})
	}
}

// A run is forgotten once all of it is cut.
func TestRunsOfChangesAreCut(t *testing.T) {
	dir := t.TempDir()
	s, want := withRuns(t, dir, 1<<10)
	for _, c := range []struct{ entries, gone int }{{140, 1}, {58, 2}, {100, 2}, {1000, 3}} {
		if _, err := s.Cut(t.Context(), storetest.RoomName(t, "room-0"), store.Age{Before: 1 << 60, Now: 1 << 61}, c.entries); err != nil {
			t.Fatal(err)
		}
		wantKnownRuns(t, s, want[c.gone:])
		if err := check(t.Context(), copyFiles(t, dir)); err != nil {
			t.Errorf("after a cut of %d: %v", c.entries, err)
		}
	}
}

// An older database has none, and gets them.
func TestRunsOfChangesAreFound(t *testing.T) {
	dir := t.TempDir()
	s, want := withRuns(t, dir, 1<<10)
	closeStore(t, s)
	toVersion16(t, filepath.Join(dir, databaseName))
	corrupt(t, filepath.Join(dir, databaseName), "DROP TABLE runs", "PRAGMA user_version = 15")
	s = open(t, dir, Options{})
	wantKnownRuns(t, s, want)
}

// A page of history does not read what it passes over: entries in the middle of a run are gone here. Without the
// run it is damage.
func TestHistoryPassesOverRuns(t *testing.T) {
	dir := t.TempDir()
	s, _ := withRuns(t, dir, 1<<10)
	closeStore(t, s)
	path := filepath.Join(dir, databaseName)
	const last = 4*2 + 6*shortestRun       // of the room
	const first = last - 3*shortestRun + 1 // of its last run, which is longer than what a page reads at first
	corrupt(t, path, fmt.Sprintf("DELETE FROM entries WHERE place & 0xFFFFFFFFFF BETWEEN %d AND %d", first+5, last-shortestRun-5))
	page := store.Page{Last: true, Limit: 2}
	room := storetest.RoomName(t, "room-0")
	s = open(t, dir, Options{})
	h, err := s.History(t.Context(), room, page)
	if err != nil || len(h.Entries) != 2 || h.Entries[1].Seq != first-1 || h.Last != last {
		t.Errorf("%d entries, %d to %d, %v", len(h.Entries), h.First, h.Last, err)
	}
	closeStore(t, s)
	corrupt(t, path, "UPDATE runs SET sum = sum + 1")
	s = open(t, dir, Options{})
	if h, err := s.History(t.Context(), room, page); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("with damaged runs: %d entries, %v", len(h.Entries), err)
	}
}
