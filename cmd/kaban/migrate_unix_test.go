//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban/internal/push"
	"kaban/internal/store/postgres/postgrestest"
)

// A team moves to a database, and back to another directory, as the documentation says.
func TestMigrate(t *testing.T) {
	const messages = 40
	server := postgrestest.Start(t)
	database, data, back := server.Database(t), kept(t, messages), filepath.Join(t.TempDir(), "back")
	key, _, err := push.OpenKey(data)
	if err != nil {
		t.Fatal(err)
	}
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, complaints bytes.Buffer
		if code := run(args, streams{in: strings.NewReader(""), out: &out, err: &complaints}); code != want {
			t.Fatalf("kaban %s ends with %d, want %d: %s", strings.Join(args, " "), code, want, complaints.String())
		}
		return out.String(), complaints.String()
	}
	says := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in\n%s", word, text)
			}
		}
	}
	_, text := command(exitUsage, "migrate", "--from", data, "--to", back)
	says(text, "one of --from and --to is a data directory")
	_, text = command(exitFailed, "migrate", "--from", back, "--to", database)
	says(text, "there is no database in it")
	s, err := openImporter(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	_, text = command(exitFailed, "migrate", "--from", data, "--to", database)
	says(text, "--from "+data, "another process is using the data directory")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want, _ := command(exitDone, "export", "--no-audit", "--data", data)

	_, text = command(exitDone, "migrate", "--from", data, "--to", database)
	says(text, fmt.Sprint(messages, " messages in 1 room and "), "compared one by one", "serve --data", data+" stays as it is")
	_, text = command(exitDone, "migrate", "--from", data, "--to", database)
	says(text, "everything was moved before")
	checked, text := command(exitDone, "check", "--data", database)
	says(checked+text, "complete", fmt.Sprint(messages), "all is sound")
	count := func(change string) {
		t.Helper()
		if err := server.Exec(t.Context(), postgrestest.Name(database), "UPDATE rooms SET messages = messages "+change); err != nil {
			t.Fatal(err)
		}
	}
	count("+ 1")
	checked, text = command(exitFailed, "check", "--data", database)
	says(checked+text, "DAMAGED: it has", "stop all nodes and restore a backup")
	count("- 1")
	_, text = command(exitFailed, "user", "list", "--data", data)
	says(text, "the data has moved", "serve that", "remove the file "+filepath.Join(data, "migration"))
	if got, _ := command(exitDone, "export", "--no-audit", "--data", database); got != want {
		t.Errorf("the export of the database is\n%s\nwant\n%s", got, want)
	}

	_, text = command(exitDone, "migrate", "--from", database, "--to", back)
	says(text, fmt.Sprint(messages, " messages in 1 room and "))
	for _, place := range []string{data, database, back} {
		if got, _ := command(exitDone, "export", "--no-audit", "--data", place); got != want {
			t.Errorf("the export of %s is\n%s\nwant\n%s", place, got, want)
		}
	}
	if again, err := push.ReadKey(back); err != nil || again.Public() != key.Public() {
		t.Errorf("the key of notifications is %v, %v; want %v", again, err, key)
	}
	_, text = command(exitDone, "check", "--data", back)
	says(text, "all is sound")
	if _, err := os.Stat(filepath.Join(back, "migration")); !os.IsNotExist(err) {
		t.Errorf("the note in the new directory: %v", err)
	}
}
