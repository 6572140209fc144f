package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// kept returns a data directory with messages in its WAL, as a server that was
// killed leaves it.
func kept(t *testing.T, messages int) string {
	t.Helper()
	live, dir := t.TempDir(), t.TempDir()
	s, err := openImporter(t.Context(), live)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	room, err := kaban.ParseRoomName("lobby")
	if err != nil {
		t.Fatal(err)
	}
	ann, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		id, err := kaban.ParseMessageID(fmt.Sprint("id-", i))
		if err != nil {
			t.Fatal(err)
		}
		message, err := kaban.NewMessage(ann, fmt.Sprint("message ", i), kaban.DefaultMaxContent)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), []kaban.Draft{message.Draft(room, id)}, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kaban.db", "kaban.db-wal"} {
		content, err := os.ReadFile(filepath.Join(live, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What a damaged WAL has lost is not passed over: an export and a backup have what
// is before it, say so, and fail.
func TestADamagedWALIsTold(t *testing.T) {
	const messages = 40
	for _, damage := range []bool{false, true} {
		dir := kept(t, messages)
		if damage {
			path := filepath.Join(dir, "kaban.db-wal")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 1
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, command := range [][]string{{"export"}, {"backup", filepath.Join(t.TempDir(), "copy.db")}} {
			var out, complaints bytes.Buffer
			code := run(append(command, "--data", dir), streams{in: strings.NewReader(""), out: &out, err: &complaints})
			if (code == exitFailed) != damage || damage != strings.Contains(complaints.String(), "are lost") {
				t.Errorf("%s, damaged %t: exit code %d, standard error:\n%s", command[0], damage, code, &complaints)
			}
			if n := strings.Count(out.String(), "\n"); command[0] == "export" && (n == messages) == damage {
				t.Errorf("damaged %t: %d of %d messages are exported", damage, n, messages)
			}
		}
	}
}
