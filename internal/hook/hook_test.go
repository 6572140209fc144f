package hook_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/hook"
)

func names(t *testing.T, room, username string) (kaban.RoomName, kaban.Username) {
	t.Helper()
	r, err := kaban.ParseRoomName(room)
	if err != nil {
		t.Fatal(err)
	}
	u, err := kaban.ParseUsername(username)
	if err != nil {
		t.Fatal(err)
	}
	return r, u
}

func TestAddFindRemove(t *testing.T) {
	data := t.TempDir()
	hooks := hook.Open(data)
	room, ci := names(t, "builds", "ci")
	if all, err := hooks.List(); err != nil || len(all) != 0 {
		t.Errorf("at first there are %v, %v", all, err)
	}
	if _, err := hooks.Find("nothing"); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	key, added, err := hooks.Add(room, ci)
	if err != nil || len(key) < 26 {
		t.Fatalf("got the key %q, %v", key, err)
	}
	other, _, err := hooks.Add(room, ci)
	if err != nil || other == key {
		t.Fatalf("got the key %q again, %v", other, err)
	}
	// Another process sees it at once.
	found, err := hook.Open(data).Find(key)
	if err != nil || found != added || found.Room.String() != "builds" || found.Username.String() != "ci" {
		t.Errorf("got %+v, %v, want %+v", found, err, added)
	}
	for _, wrong := range []string{"", key + "x", strings.ToLower(key), "../hooks/" + key, strings.Repeat("x", 1000), found.ID} {
		if _, err := hooks.Find(wrong); !errors.Is(err, hook.ErrNotFound) {
			t.Errorf("%.40q: got %v, want ErrNotFound", wrong, err)
		}
	}
	if all, err := hooks.List(); err != nil || len(all) != 2 {
		t.Errorf("there are %v, %v", all, err)
	}
	if _, err := hooks.Remove(""); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if got, err := hooks.Remove(found.ID[:8]); err != nil || got.ID != found.ID {
		t.Errorf("removed %+v, %v", got, err)
	}
	if _, err := hooks.Find(key); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("the hook still exists: %v", err)
	}
	if _, err := hooks.Find(other); err != nil {
		t.Errorf("the other hook is gone: %v", err)
	}
}

// The key is not stored, and other users cannot read the files.
func TestTheKeyIsNotKept(t *testing.T) {
	data := t.TempDir()
	room, ci := names(t, "builds", "ci")
	key, _, err := hook.Open(data).Add(room, ci)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(data, "hooks")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("there are %v, %v", entries, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(entries[0].Name()+string(text), key) {
		t.Errorf("the key is in %s: %s", entries[0].Name(), text)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, entries[0].Name()): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}

func TestAmbiguousAndDamaged(t *testing.T) {
	data := t.TempDir()
	hooks := hook.Open(data)
	room, ci := names(t, "builds", "ci")
	seen := map[string]bool{}
	var twice string
	for range 17 { // two of them begin with the same digit
		_, h, err := hooks.Add(room, ci)
		if err != nil {
			t.Fatal(err)
		}
		if first := h.ID[:1]; seen[first] {
			twice = first
		} else {
			seen[first] = true
		}
	}
	if _, err := hooks.Remove(twice); !errors.Is(err, hook.ErrAmbiguous) {
		t.Errorf("got %v, want ErrAmbiguous", err)
	}
	if err := os.WriteFile(filepath.Join(data, "hooks", ".new-1"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := hooks.List(); err != nil || len(all) != 17 { // unfinished files are not listed
		t.Errorf("there are %d, %v", len(all), err)
	}
	for _, text := range []string{"", "{}", "[]", `{"room":"a b","username":"x"}`, `{"room":"a","username":""}`, strings.Repeat("x", 10_000)} {
		damaged := filepath.Join(data, "hooks", "0000.json")
		if err := os.WriteFile(damaged, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := hooks.List(); err == nil || !strings.Contains(err.Error(), "0000.json") {
			t.Errorf("%.20q: got %v, want an error that names the file", text, err)
		}
	}
}

// A flip of any bit in a hook's file is an error or does not change the hook.
func TestEveryFlippedBitOfAHookIsFound(t *testing.T) {
	data := t.TempDir()
	hooks := hook.Open(data)
	room, ci := names(t, "builds", "ci")
	key, want, err := hooks.Add(room, ci)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(data, "hooks", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for bit := range len(content) * 8 {
		content[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(files[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := hooks.Find(key); err != nil {
			found++
		} else if got != want {
			t.Errorf("bit %d of byte %d, %q: got %+v", bit%8, bit/8, content, got)
		}
		content[bit/8] ^= 1 << (bit % 8)
	}
	if found < len(content)*6 {
		t.Errorf("%d flips of %d were found", found, len(content)*8)
	}
	// A file from an older version has no checksum.
	if err := os.WriteFile(files[0], []byte(`{"room":"builds","username":"ci","created":"2026-11-24T02:35:37Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hooks.Find(key); err != nil {
		t.Error(err)
	}
}

// No hook is lost when many are added concurrently.
func TestAddAtOnce(t *testing.T) {
	data := t.TempDir()
	room, ci := names(t, "builds", "ci")
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			key, _, err := hook.Open(data).Add(room, ci)
			if err == nil {
				_, err = hook.Open(data).Find(key)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if all, err := hook.Open(data).List(); err != nil || len(all) != 50 {
		t.Errorf("there are %d, %v", len(all), err)
	}
}
