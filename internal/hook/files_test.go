package hook_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban/internal/chat"
	"kaban/internal/hook"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// oldKey is the key of a hook that an older version kept in oldFile.
const (
	oldKey  = "EJZQ5DHAJ4PJLN5LJVHI3ZKWGV"
	oldSum  = "790323057"
	oldText = `{"room":"builds","username":"ci","created":"2026-11-24T02:35:37Z"}`
)

func write(t *testing.T, data, name, text string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(data, "hooks"), 0o700))
	path := filepath.Join(data, "hooks", name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestImport(t *testing.T) {
	p, data := newPlace(t), t.TempDir()
	if n, err := hook.Import(t.Context(), p.store, data); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	name := chat.HashHookKey(oldKey) + ".json"
	write(t, data, name, oldText)
	write(t, data, ".new-1", "cut")
	for i, want := range []int{1, 0} {
		if n, err := hook.Import(t.Context(), p.store, data); n != want || err != nil {
			t.Errorf("import %d: %d, %v", i, n, err)
		}
		if i == 0 {
			write(t, data, name, oldText) // an import that ended before it removed the file
		}
	}
	if _, err := os.Stat(filepath.Join(data, "hooks", name)); !os.IsNotExist(err) {
		t.Errorf("the file: %v", err)
	}
	must(t, p.post(oldKey))
	if got := p.entries("builds"); len(got) != 1 || got[0] != "message ci green" {
		t.Errorf("the log is %q", got)
	}
	all, err := p.hooks.List(t.Context(), p.chat.Operator())
	if err != nil || len(all) != 1 || all[0].ID != name[:12] || all[0].Created != 1795487737000 {
		t.Errorf("hooks: %+v, %v", all, err)
	}
}

// A hook whose room nobody has used yet can be removed, which makes no room.
func TestRemoveAnImportedHook(t *testing.T) {
	p, data := newPlace(t), t.TempDir()
	name := chat.HashHookKey(oldKey) + ".json"
	path := write(t, data, name, oldText)
	_, err := hook.Import(t.Context(), p.store, data)
	must(t, err)
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the empty directory: %v", err)
	}
	_, err = p.hooks.Remove(t.Context(), p.operator(), name[:12])
	must(t, err)
	if got := p.entries("builds"); len(got) != 0 {
		t.Errorf("the log is %q", got)
	}
	if err := p.post(oldKey); err == nil {
		t.Error("a removed hook posts")
	}
}

// Files that cannot be read stay, are named, and keep no other from being imported.
func TestImportDamagedFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "an array": "[]", "no room": "{}", "a bad room": `{"room":"a b","username":"x"}`, "no username": `{"room":"a","username":""}`,
		"large": strings.Repeat("x", 10_000), "a wrong sum": strings.Replace(oldText, "}", `,"sum":1}`, 1), "an unknown key": strings.Replace(oldText, "}", `,"sun":1}`, 1),
	} {
		p, data := newPlace(t), t.TempDir()
		bad := write(t, data, strings.Repeat("0", 64)+".json", text)
		other := write(t, data, chat.HashHookKey(oldKey)+".json", oldText)
		if err := hook.Check(data); err == nil || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), other) {
			t.Errorf("%s: check says %v", name, err)
		}
		n, err := hook.Import(t.Context(), p.store, data)
		if n != 1 || err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if _, err := os.Stat(bad); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		must(t, p.post(oldKey))
	}
	data := t.TempDir()
	write(t, data, "short.json", oldText)
	if err := hook.Check(data); err == nil {
		t.Error("a name that is no hash is accepted")
	}
}

// A flip of any bit in a file with a checksum is found or does not change the hook.
func TestEveryFlippedBitIsFound(t *testing.T) {
	// As the last version that wrote files did.
	text := []byte(`{"room":"builds","username":"ci","created":"2026-11-24T02:35:37Z","sum":` + oldSum + "}\n")
	name := chat.HashHookKey(oldKey) + ".json"
	found := 0
	for bit := range len(text) * 8 {
		kept, data := memory.New(0), t.TempDir()
		text[bit/8] ^= 1 << (bit % 8)
		write(t, data, name, string(text))
		text[bit/8] ^= 1 << (bit % 8)
		if _, err := hook.Import(t.Context(), kept, data); err != nil {
			found++
			continue
		}
		must(t, kept.View(t.Context(), func(tx store.Tx) error {
			all, _, err := people.Hooks.List(tx, nil, nil, 2)
			if err != nil || len(all) != 1 || all[0].Room != "builds" || all[0].Username != "ci" || all[0].Created != 1795487737000 {
				t.Errorf("bit %d of byte %d: %+v, %v", bit%8, bit/8, all, err)
			}
			return nil
		}))
	}
	if found < len(text)*6 {
		t.Errorf("%d flips of %d were found", found, len(text)*8)
	}
}
