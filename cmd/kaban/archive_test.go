package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// kept returns a data directory with messages in its WAL, as a killed server leaves it.
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
	for i := range messages {
		ann, err := kaban.ParseUsername(fmt.Sprint("ann", i/2)) // a new author goes into the database, the same again into the journal
		if err != nil {
			t.Fatal(err)
		}
		id, err := kaban.ParseMessageID(fmt.Sprint("id-", i))
		if err != nil {
			t.Fatal(err)
		}
		message, err := kaban.NewMessage(ann, fmt.Sprint("message ", i), kaban.DefaultMaxContent)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), []store.Write{{Draft: message.Draft(kaban.Visitor(message.Username()), room, id)}}, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flip flips a bit of a file: of the byte in its middle, or at an offset that is not 0.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at == 0 {
		at = len(content) / 2
	}
	content[at] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// After damage to the WAL or the journal, an export and a backup have everything before it,
// say so and fail.
func TestDamageOfTheNewestIsReported(t *testing.T) {
	const messages = 40
	for name, do := range map[string]func(dir string){
		"":            nil,
		"the WAL":     func(dir string) { flip(t, filepath.Join(dir, "kaban.db-wal"), 0) },
		"the journal": func(dir string) { flip(t, filepath.Join(dir, "journal", "0000000000000001.segment"), 1000) },
		"no journal":  func(dir string) { os.RemoveAll(filepath.Join(dir, "journal")) },
	} {
		dir, damage := kept(t, messages), do != nil
		if damage {
			do(dir)
		}
		for _, command := range [][]string{{"export"}, {"backup", filepath.Join(t.TempDir(), "copy.db")}} {
			var out, complaints bytes.Buffer
			code := run(append(command, "--data", dir), streams{in: strings.NewReader(""), out: &out, err: &complaints})
			if (code == exitFailed) != damage || damage != strings.Contains(complaints.String(), "everything before them") {
				t.Errorf("%s, damaged: %q: exit code %d, standard error:\n%s", command[0], name, code, &complaints)
			}
			if n := strings.Count(out.String(), "\n"); command[0] == "export" && (n == messages) == damage {
				t.Errorf("damaged: %q: %d of %d messages are exported", name, n, messages)
			}
		}
	}
}

// A backup on a schedule writes nothing of a damaged database: each attempt would leave a
// file, and each would count as the newest backup.
func TestAScheduledBackupOfADamagedWALLeavesNothing(t *testing.T) {
	data, backups := kept(t, 40), t.TempDir()
	flip(t, filepath.Join(data, "kaban.db-wal"), 0)
	var complaints bytes.Buffer
	command := backupCommandLine(data, filepath.Join(backups, "copy.db"))
	if code := run(command, streams{in: strings.NewReader(""), out: io.Discard, err: &complaints}); code != exitFailed || !strings.Contains(complaints.String(), `are lost; the server may still have them in memory: make a backup by hand ("kaban backup")`) {
		t.Errorf("%q: exit code %d, standard error:\n%s", command, code, &complaints)
	}
	if left, err := os.ReadDir(backups); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// A backup of a database whose journal is gone has what is left, says so and fails. On a
// schedule it leaves nothing.
func TestABackupWithoutTheJournal(t *testing.T) {
	live, backups := t.TempDir(), t.TempDir()
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
	for i := range 6 { // the first and the last go into the database
		id, err := kaban.ParseMessageID(fmt.Sprint("id-", i))
		if err != nil {
			t.Fatal(err)
		}
		write := store.Write{Draft: kaban.Draft{Room: room, Author: kaban.Visitor(ann), ID: id, Kind: kaban.KindMessage, Body: "hello"}}
		if i == 5 {
			write.Decide = func(tx store.Tx) error { return tx.Put("a", []byte("b")) }
		}
		results := make([]store.Result, 1)
		if err := s.Append(t.Context(), []store.Write{write}, results); err != nil || results[0].Err != nil {
			t.Fatal(results[0].Err, err)
		}
	}
	data := t.TempDir()
	if err := os.CopyFS(data, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(data, "journal")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(backups, "copy.db")
	var complaints bytes.Buffer
	if code := run(backupCommandLine(data, file), streams{in: strings.NewReader(""), out: io.Discard, err: &complaints}); code != exitFailed || !strings.Contains(complaints.String(), "its files are missing") {
		t.Errorf("backup --whole: exit code %d, standard error:\n%s", code, &complaints)
	}
	if left, err := os.ReadDir(backups); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	complaints.Reset()
	if code := run([]string{"backup", file, "--data", data}, streams{in: strings.NewReader(""), out: io.Discard, err: &complaints}); code != exitFailed ||
		!strings.Contains(complaints.String(), "its files are missing") || !strings.Contains(complaints.String(), "the backup has everything before") {
		t.Errorf("backup: exit code %d, standard error:\n%s", code, &complaints)
	}
	complaints.Reset()
	var out bytes.Buffer
	if code := run([]string{"restore", file, "--data", t.TempDir()}, streams{in: strings.NewReader(""), out: &out, err: &complaints}); code != exitDone || !strings.Contains(complaints.String(), "1 message") {
		t.Errorf("restore: exit code %d, standard output:\n%s\nstandard error:\n%s", code, &out, &complaints)
	}
}

// The commands carry every kind of entry and author.
func TestExportAndImportCarryKinds(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s, err := openImporter(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	room, err := kaban.ParseRoomName("lobby")
	if err != nil {
		t.Fatal(err)
	}
	ann, err := kaban.ParseUsername("Ann")
	if err != nil {
		t.Fatal(err)
	}
	var records []store.Record
	for i, draft := range []kaban.Draft{
		{Author: kaban.Visitor(ann), Kind: kaban.KindMessage, Body: "hello"},
		{Author: kaban.Account("17", ann), Kind: kaban.KindMessage, Body: "hello"},
		{Author: kaban.Visitor(ann), Kind: 200, Target: 2, Body: "of an unknown kind"},
		{Author: kaban.Account("17", ann), Kind: 255, Target: 3},
	} {
		draft.Room = room
		if draft.ID, err = kaban.ParseMessageID(fmt.Sprint("id-", i)); err != nil {
			t.Fatal(err)
		}
		records = append(records, store.Record{Draft: draft, Seq: uint64(i + 1), Time: 1764000000123 + int64(i)})
	}
	if _, err := s.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		if code := run(args, streams{in: strings.NewReader(""), out: &out, err: &complaints}); code != 0 {
			t.Fatalf("kaban %s: exit code %d, %s", args, code, &complaints)
		}
		return out.String()
	}
	exported := command("export", "--data", from)
	file := filepath.Join(t.TempDir(), "export.jsonl")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	command("import", "--data", to, file)
	if again := command("export", "--data", to); again != exported || strings.Count(again, "\n") != len(records) {
		t.Errorf("exported\n%.2000s\nand again\n%.2000s", exported, again)
	}
	if s, err = openImporter(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Import(t.Context(), records); err != nil || n != 0 {
		t.Errorf("the records are not the same there: %d new, %v", n, err)
	}
}

// The commands carry logs that were cut, in which nothing or something is left.
func TestExportAndImportCarryCuts(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s, err := openImporter(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"attic", "kitchen", "lobby"} {
		drafts := make([]kaban.Draft, 9)
		for i := range drafts {
			drafts[i] = storetest.Draft(t, room, "ann", fmt.Sprint("id-", i), "hello")
		}
		storetest.Append(t, s, drafts...)
	}
	for room, n := range map[string]int{"kitchen": 9, "lobby": 4} {
		if cut, err := s.Cut(t.Context(), storetest.RoomName(t, room), store.Age{Before: math.MaxInt64, Now: math.MaxInt64}, n); cut != n || err != nil {
			t.Fatal(cut, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	command := func(in string, args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		if code := run(args, streams{in: strings.NewReader(in), out: &out, err: &complaints}); code != 0 {
			t.Fatalf("kaban %s: exit code %d, %s", args, code, &complaints)
		}
		return out.String()
	}
	exported := command("", "export", "--data", from)
	command(exported, "import", "--data", to)
	command(exported, "import", "--data", to) // again
	if again := command("", "export", "--data", to); again != exported || strings.Count(exported, "\n") != 9+5+2 {
		t.Errorf("exported\n%.2000s\nand again\n%.2000s", exported, again)
	}
	command("", "check", "--data", to)
}

// The commands carry documents, more than one transaction of them, and count them.
func TestExportAndImportCarryDocuments(t *testing.T) {
	const documents = importBatch + 30
	from, to := t.TempDir(), t.TempDir()
	s, err := openImporter(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]store.Document, documents)
	for i := range list {
		list[i] = store.Document{Key: fmt.Sprintf("account/%04d", i), Value: []byte{byte(i), '"'}}
	}
	if n, err := s.ImportDocuments(t.Context(), list); err != nil || n != documents {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	command := func(in string, args ...string) (out, complaints string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(args, streams{in: strings.NewReader(in), out: &stdout, err: &stderr}); code != 0 {
			t.Fatalf("kaban %s: exit code %d, %s", args, code, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	says := func(in, want string, args ...string) {
		t.Helper()
		if _, got := command(in, args...); !strings.Contains(got, want) {
			t.Errorf("kaban %s: %s, want %q", args, got, want)
		}
	}
	exported, _ := command("", "export", "--data", from)
	if n := strings.Count(exported, `"type":"document"`); n != documents {
		t.Errorf("%d documents are exported, want %d", n, documents)
	}
	says(exported, "0 messages and 1030 documents imported, 0 were there already", "import", "--data", to)
	says(exported, "0 messages imported, 1030 were there already", "import", "--data", to)
	says("", "0 messages in 0 rooms and 1030 documents, all is sound", "check", "--data", to)
	if again, _ := command("", "export", "--data", to); again != exported {
		t.Error("the export of the import differs")
	}
	says("", "1030 documents, checked", "backup", "--data", to, filepath.Join(t.TempDir(), "backup.db"))
	// An export of a room has none.
	says(`{"type":"message","room":"lobby","seq":1,"id":"a","username":"ann","content":"x","time":"2026-11-24T02:35:37.101Z"}`, "1 message imported", "import", "--data", to)
	if out, _ := command("", "export", "--data", to, "lobby"); strings.Count(out, "\n") != 1 {
		t.Errorf("the export of a room is %.1000s", out)
	}
}

// A folder that does not exist is named before anything is read or printed.
func TestFoldersThatDoNotExist(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nope", "x")
	for _, args := range [][]string{{"backup", "--data", kept(t, 3), missing}, {"tail", "lobby", "--server", "tcp://127.0.0.1:1", "--cursor", missing}} {
		code, out, text := kabanRuns("", args...)
		if code != exitFailed || out != "" || !strings.Contains(text, missing+" cannot be written: the folder "+filepath.Dir(missing)+" does not exist; make it") {
			t.Errorf("%q: got %d %q %q", args, code, out, text)
		}
	}
}

// What is no backup has an advice.
func TestRestoreOfJunk(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.db")
	for _, text := range []string{"", "junk", strings.Repeat("junk ", 10_000)} {
		if err := os.WriteFile(junk, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, got := kabanRuns("", "restore", "--data", filepath.Join(t.TempDir(), "new"), junk)
		if code != exitFailed || !strings.Contains(got, junk+" cannot be restored: ") || !strings.Contains(got, "it is no database of kaban; name a file that \"kaban backup\" has written") {
			t.Errorf("got %d %q", code, got)
		}
	}
}

func TestADataDirectoryBelowNowhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the current directory cannot be removed")
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if err := os.Mkdir(nowhere, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(nowhere)
	if err := os.Remove(nowhere); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"--data kaban-data: the current directory cannot be used", "full path"}, "check", "--data", "kaban-data")
}
