package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// gapped returns a file with an export of messages with some numbers, and an edit of the message
// that is missing.
func gapped(t *testing.T, seqs ...int) string {
	t.Helper()
	var lines strings.Builder
	for _, seq := range seqs {
		fmt.Fprintf(&lines, `{"type":"message","room":"lobby","seq":%d,"id":"m%d","username":"ann","content":"text %d","time":"2026-11-24T02:35:37.%03dZ"}`+"\n", seq, seq, seq, seq%1000)
	}
	if last := seqs[len(seqs)-1] + 1; last < 10_000 {
		fmt.Fprintf(&lines, `{"type":"entry","room":"lobby","seq":%d,"kind":2,"id":"edit","author":"visitor:ann","username":"ann","target":2,"content":"edited","time":"2026-11-24T02:35:38.000Z"}`+"\n", last)
	}
	file := filepath.Join(t.TempDir(), "export.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An export that lacks entries is imported if that is wanted: those that are there keep their
// numbers, and the others show nothing.
func TestImportFillsGaps(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "data"), gapped(t, 3, 4, 1204)
	wantRun(t, exitFailed, []string{"message 3 of lobby would leave a gap, the room has 0", "--fill-gaps"}, "import", "--data", dir, file)
	wantRun(t, exitDone, []string{"4 messages imported, 0 were", "1,201 entries that the export lacks: void, their numbers stay taken and show nothing"}, "import", "--data", dir, "--fill-gaps", file)
	wantRun(t, exitDone, []string{"0 messages imported, 4 were"}, "import", "--data", dir, "--fill-gaps", file)
	wantRun(t, exitDone, []string{"all is sound"}, "check", "--data", dir)
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var found []string
	entries, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 2000})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("entry %d has the number %d", i+1, e.Seq)
		}
		if e.Content != "" {
			found = append(found, fmt.Sprint(e.Seq, " ", e.Username, " ", e.Content))
		}
	}
	if want := []string{"3 ann text 3", "4 ann text 4", "1204 ann text 1204"}; !slices.Equal(found, want) {
		t.Errorf("the room has %q, want %q", found, want)
	}
}

// A gap that no export has is refused before anything is written for it.
func TestImportOfAHugeGap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	wantRun(t, exitFailed, []string{"fills in for 1000000 at most", "1 message imported"}, "import", "--data", dir, "--fill-gaps", gapped(t, 1, 9_007_199_254_740_000))
}

// A room with a log and nothing else is public only where its log says so: visitors wrote there, or it was created so. The
// import says what it closed, and says nothing more when it is repeated.
func TestImportOpensNoRoom(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "export.jsonl")
	lines := `{"type":"message","room":"lobby","seq":1,"id":"m","username":"ann","content":"hi","time":"2026-11-24T02:35:37.000Z"}
{"type":"entry","room":"ops","seq":1,"kind":1,"id":"m","author":"account:id1","username":"bob","content":"hush","time":"2026-11-24T02:35:37.000Z"}
{"type":"message","room":"visited","seq":1,"id":"m","username":"ann","content":"hi","time":"2026-11-24T02:35:37.000Z"}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitDone, []string{"1 room was found by a log", "private rooms without members: ops;", "access is lost or was never made, so it is closed", "no owner is left"}, "import", "--data", dir, "--fill-gaps", file)
	if code, said := ran("import", "--data", dir, "--fill-gaps", file); code != exitDone || strings.Contains(said, "rooms") || strings.Contains(said, "access") {
		t.Errorf("once more: exit code %d: %s", code, said)
	}
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string]kaban.RoomKind{"lobby": kaban.RoomPublic, "ops": kaban.RoomPrivate, "visited": kaban.RoomPublic} {
		err := s.View(t.Context(), func(tx store.Tx) error {
			r, stored, err := people.Rooms.Known(tx, storetest.RoomName(t, name))
			if r.Kind != want || stored != (want == kaban.RoomPrivate) {
				t.Errorf("%s is %+v", name, r)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// What a backup refuses because it is damaged, an export saves.
func TestABackupOfDamagedRowsNamesTheExport(t *testing.T) {
	damage := fmt.Errorf("write x: %w", store.ErrDamaged)
	if got := explainDamage("data", damage); !errors.Is(got, store.ErrDamaged) || !strings.Contains(got.Error(), `"kaban export --files DIR --data data"`) {
		t.Error(got)
	}
	if other := errors.New("x"); explainDamage("data", other) != other {
		t.Error("another error is explained")
	}
}
