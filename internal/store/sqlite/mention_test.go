package sqlite

import (
	"path/filepath"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// appendMention appends a message that mentions an account.
func appendMention(t *testing.T, s *Store, room, id, account string) {
	t.Helper()
	results := make([]store.Result, 1)
	write := store.Write{Draft: storetest.Draft(t, room, "ann", id, "@"+account), Mentions: &store.Mentions{Accounts: []string{account}}}
	if err := s.Append(t.Context(), []store.Write{write}, results); err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
}

func mentionsOf(t *testing.T, s *Store, room, account string) (seqs []uint64) {
	t.Helper()
	found, err := s.Mentions(t.Context(), storetest.RoomName(t, room), account, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range found {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

// Old messages get no mentions by an update, whatever they say, and new ones do.
func TestMentionsAreAddedToVersion9(t *testing.T) {
	s := still(t, t.TempDir(), Options{mergeStep: 1})
	for i := range 4 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", string(rune('a'+i)), "@dan"))
	}
	merge(t, s, 2)
	dir := copyFiles(t, filepath.Dir(s.path))
	toVersion16(t, filepath.Join(dir, databaseName))
	corrupt(t, filepath.Join(dir, databaseName), toVersion9...)
	s = still(t, dir, Options{mergeStep: 1})
	if got := mentionsOf(t, s, "lobby", "dan"); len(got) != 0 || unmergedIn(s) == 0 {
		t.Errorf("after the update %v mention dan, and %d are unmerged", got, unmergedIn(s))
	}
	appendMention(t, s, "lobby", "new", "dan")
	for _, when := range []string{"unmerged", "merged", "after a start"} {
		if got := mentionsOf(t, s, "lobby", "dan"); len(got) != 1 || got[0] != 5 {
			t.Errorf("%s: %v mention dan, want 5", when, got)
		}
		if when == "unmerged" {
			mergeNow(t, s)
		} else {
			s = still(t, copyFiles(t, filepath.Dir(s.path)), Options{mergeStep: 1})
		}
	}
	if err := check(t.Context(), filepath.Dir(s.path)); err != nil {
		t.Error(err)
	}
}

// A damaged occurrence is left out, Check reports it, and the others stay.
func TestADamagedMention(t *testing.T) {
	for name, damage := range map[string]string{
		"time":       "UPDATE mentions SET time = time + 1 WHERE place & 0xff = 2",
		"author":     "UPDATE mentions SET user = (SELECT max(id) FROM users) WHERE place & 0xff = 2",
		"account":    "UPDATE mentions SET account = 'den' WHERE place & 0xff = 2",
		"no message": "UPDATE mentions SET place = place + 100 WHERE place & 0xff = 2",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			for _, id := range []string{"a", "b", "c"} {
				appendMention(t, s, "lobby", id, "dan")
			}
			storetest.Append(t, s, storetest.Draft(t, "lobby", "zoe", "z", "last"))
			closeStore(t, s)
			corrupt(t, filepath.Join(dir, databaseName), damage)
			if err := check(t.Context(), dir); err == nil {
				t.Error("Check finds nothing")
			}
			s = open(t, dir, Options{})
			if got := mentionsOf(t, s, "lobby", "dan"); len(got) != 2 || got[0] != 1 || got[1] != 3 {
				t.Errorf("%v mention dan, want 1 and 3", got)
			}
			if got := mentionsOf(t, s, "lobby", "den"); len(got) != 0 {
				t.Errorf("%v mention den", got)
			}
		})
	}
}
