package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/people"
	"kaban/internal/store"
)

// withFiles returns a data directory with a file for each text. The first has a thumbnail.
func withFiles(t *testing.T, texts ...string) string {
	t.Helper()
	data := t.TempDir()
	change(t, data, func(store.Tx) error { return nil })
	for i, text := range texts {
		addFile(t, data, fmt.Sprint("file", i), text)
	}
	if len(texts) > 0 {
		put(t, data, files.Thumbnail, texts[0], "small")
	}
	return data
}

// addFile adds a file to a data directory that no server is using.
func addFile(t *testing.T, data, id, text string) {
	t.Helper()
	put(t, data, files.Content, text, text)
	change(t, data, func(tx store.Tx) error {
		return people.Files.Add(tx, &people.File{ID: id, Owner: "ann", Name: id, Size: int64(len(text)), Hash: hashOf(text).String(), Time: 1})
	})
}

func change(t *testing.T, data string, run func(store.Tx) error) {
	t.Helper()
	s, err := openImporter(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.(store.Documents).Update(t.Context(), run), s.Close()); err != nil {
		t.Fatal(err)
	}
}

func hashOf(text string) files.Hash { return sha256.Sum256([]byte(text)) }

// put puts bytes in their place.
func put(t *testing.T, root string, kind files.Kind, of, text string) {
	t.Helper()
	s, err := disk.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(t.TempDir(), "staged")
	if err := os.WriteFile(staged, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), files.Key{Kind: kind, Hash: hashOf(of)}, files.Staged{Path: staged, Size: int64(len(text)), Sum: hashOf(text)}); err != nil {
		t.Fatal(err)
	}
}

func blobIn(root string, kind files.Kind, of string) string {
	return blob{hash: hashOf(of)}.pathOf(root, kind)
}

// ran runs a command, and returns its exit code and what it has said.
func ran(args ...string) (code int, said string) {
	var out, err bytes.Buffer
	code = run(args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return code, out.String() + err.String()
}

func wantRun(t *testing.T, wantCode int, want []string, args ...string) {
	t.Helper()
	code, said := ran(args...)
	if code != wantCode {
		t.Errorf("%q: exit code %d, want %d: %s", args, code, wantCode, said)
	}
	for _, text := range want {
		if !strings.Contains(said, text) {
			t.Errorf("%q says %s; want %q", args, said, text)
		}
	}
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is %q, %v; want %q", path, got, err, want)
	}
}

// A backup with files restores to a data directory with the same files and thumbnails. Files are once
// for all backups, and those that nothing refers to stay behind.
func TestBackupAndRestoreCarryFiles(t *testing.T) {
	data, backups := withFiles(t, "a photo", "a report"), t.TempDir()
	put(t, data, files.Content, "an orphan", "an orphan")
	first, second := filepath.Join(backups, "first.db"), filepath.Join(backups, "second.db")
	wantRun(t, exitDone, []string{"2 files (15 B)", filepath.Join(backups, blobsFolder)}, "backup", "--files", "--data", data, first)
	addFile(t, data, "file3", "a film")
	wantRun(t, exitDone, []string{"3 files (21 B)"}, "backup", "--files", "--data", data, second)
	list, err := os.ReadFile(second + listSuffix)
	if err != nil || strings.Count(string(list), "\n") != 3 || !strings.Contains(string(list), fmt.Sprintf("%s  %s\n", hashOf("a film"), files.Key{Hash: hashOf("a film")})) {
		t.Errorf("the list is %q, %v", list, err)
	}
	if _, err := os.Stat(blobIn(filepath.Join(backups, blobsFolder), files.Content, "an orphan")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that nothing needs is in the backup: %v", err)
	}
	for file, texts := range map[string][]string{first: {"a photo", "a report"}, second: {"a photo", "a report", "a film"}} {
		into := filepath.Join(t.TempDir(), "data")
		wantRun(t, exitDone, []string{fmt.Sprintf("restored %d files", len(texts))}, "restore", "--data", into, file)
		for _, text := range texts {
			wantText(t, blobIn(into, files.Content, text), text)
		}
		wantText(t, blobIn(into, files.Thumbnail, "a photo"), "small")
		wantRun(t, exitDone, []string{fmt.Sprintf("%d files", len(texts)), "all of them read"}, "check", "--files", "--data", into)
	}
}

// A backup of many files shows how far it is with them, also with those that are missing.
func TestTheCopyingOfFilesIsCounted(t *testing.T) {
	data := withFiles(t, "a photo", "a report", "a film")
	from, err := blobsOfData(data)
	if err != nil {
		t.Fatal(err)
	}
	to, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var blobs []blob
	for _, text := range []string{"a photo", "nothing", "a report", "a film"} {
		blobs = append(blobs, blob{hashOf(text), int64(len(text))})
	}
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(io.Discard))
	if missing, err := copyBlobs(t.Context(), from, to, blobs, bar); err != nil || len(missing) != 1 {
		t.Errorf("%d are missing, %v", len(missing), err)
	}
	if n, max := bar.State().CurrentNum, bar.GetMax(); n != 3 || max != 4 { // the last one is done when the bar is finished
		t.Errorf("the last one began at %d of %d", n, max)
	}
}

// A backup without files says which it needs, and a restore says that they are not there, unless the data
// directory has them.
func TestBackupWithoutFiles(t *testing.T) {
	data, backups := withFiles(t, "a photo"), t.TempDir()
	file := filepath.Join(backups, "copy.db")
	wantRun(t, exitDone, []string{"it needs 1 file (7 B)", file + listSuffix, "--files"}, "backup", "--data", data, file)
	wantText(t, file+listSuffix, fmt.Sprintf("%s  %s\n", hashOf("a photo"), files.Key{Hash: hashOf("a photo")}))
	wantRun(t, exitFailed, []string{"restored and may be used", "1 file (7 B) of its 1 file (7 B) is neither in"}, "restore", "--data", filepath.Join(t.TempDir(), "data"), file)
	wantRun(t, exitDone, []string{"restored 1 file"}, "restore", "--replace", "--data", data, file)
	none := filepath.Join(backups, "none.db")
	wantRun(t, exitDone, nil, "backup", "--files", "--data", withFiles(t), none) // makes no list
	if _, err := os.Stat(none + listSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a list of nothing: %v", err)
	}
}

// A check finds files that are missing, too short, too long and wrong, the latter only when it reads them,
// and what nothing needs.
func TestCheckFindsBadFiles(t *testing.T) {
	data := withFiles(t, "missing", "too short", "too long", "wrong", "good")
	orphan := blobIn(data, files.Content, "an orphan")
	put(t, data, files.Content, "an orphan", "an orphan")
	put(t, data, files.Thumbnail, "an orphan", "small")
	if _, said := ran("check", "--data", data); strings.Contains(said, "needed by nothing") {
		t.Errorf("what may be just being added counts: %s", said)
	}
	for _, kind := range files.Kinds {
		if err := os.Chtimes(blobIn(data, kind, "an orphan"), time.Time{}, time.Now().Add(-2*recentBlob)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(of, text string) {
		if err := os.WriteFile(blobIn(data, files.Content, of), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantRun(t, exitDone, []string{"5 files", "2 files in files and thumbs are needed by nothing, and take 14 B"}, "check", "--files", "--data", data)
	write("wrong", "wring")
	wantRun(t, exitDone, []string{"5 files"}, "check", "--data", data)
	wantRun(t, exitFailed, []string{files.Key{Hash: hashOf("wrong")}.String() + ": wrong", "1 bad file"}, "check", "--files", "--data", data)
	write("too short", "to")
	write("too long", "too long, indeed")
	if err := os.Remove(blobIn(data, files.Content, "missing")); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{
		files.Key{Hash: hashOf("missing")}.String() + ": missing", files.Key{Hash: hashOf("too short")}.String() + ": partial",
		files.Key{Hash: hashOf("too long")}.String() + ": wrong", "3 bad files",
	}, "check", "--data", data)
	wantText(t, orphan, "an orphan")
	change(t, data, func(tx store.Tx) error {
		b, err := people.Blobs.Get(tx, hashOf("good").String())
		b.References = 2
		return errors.Join(err, people.Blobs.Put(tx, &b))
	})
	wantRun(t, exitFailed, []string{"counted wrong, by 1", "4 bad files"}, "check", "--data", data)
}

// A check counts large pictures without thumbnails. They are no fault, and neither is a folder that is gone.
func TestCheckCountsMissingThumbnails(t *testing.T) {
	data := withFiles(t, "has one", "a text")
	for text, width := range map[string]int{"a large one": 900, "another one": 721, "a small one": 720} {
		put(t, data, files.Content, text, text)
		change(t, data, func(tx store.Tx) error {
			return people.Files.Add(tx, &people.File{ID: strings.ReplaceAll(text, " ", "-"), Owner: "ann", Name: text, Size: int64(len(text)), Width: width, Height: 10, Hash: hashOf(text).String(), Time: 1})
		})
	}
	wantRun(t, exitDone, []string{"2 pictures without a thumbnail"}, "check", "--data", data)
	put(t, data, files.Thumbnail, "a large one", "small")
	wantRun(t, exitDone, []string{"1 picture without a thumbnail", "all of them read"}, "check", "--files", "--data", data)
	if err := os.RemoveAll(filepath.Join(data, files.Thumbnail.Folder())); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitDone, []string{"2 pictures without a thumbnail"}, "check", "--data", data)
	if err := os.Remove(blobIn(data, files.Content, "another one")); err != nil { // nothing can be made of it
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"1 picture without a thumbnail", "1 bad file"}, "check", "--data", data)
}

// A file that is missing is no reason to have no backup, but the command says so.
func TestBackupOfMissingFiles(t *testing.T) {
	data, backups := withFiles(t, "a photo", "a report"), t.TempDir()
	if err := os.WriteFile(blobIn(data, files.Content, "a report"), []byte("a r3port"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(backups, "copy.db")
	wantRun(t, exitFailed, []string{"the backup has everything else", "1 file (8 B) is missing or damaged"}, "backup", "--files", "--data", data, file)
	wantText(t, blobIn(filepath.Join(backups, blobsFolder), files.Content, "a photo"), "a photo")
	scheduled := filepath.Join(backups, "scheduled.db")
	wantRun(t, exitDone, []string{"warning"}, backupCommandLine(data, scheduled)...)
	if _, err := os.Stat(scheduled); err != nil {
		t.Error(err)
	}
	// The process that makes it on a schedule has the warning in the log of the server.
	t.Setenv(asCommand, "1")
	var log bytes.Buffer
	if err := makeBackup(t.Context(), data, filepath.Join(backups, "next.db"), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if said := log.String(); !strings.Contains(said, "level=WARN") || !strings.Contains(said, "next.db") || !strings.Contains(said, "1 file (8 B) is missing or damaged") {
		t.Errorf("the log has %q", said)
	}
}

// Files of backups that are gone go, too, with their thumbnails. The list of a backup that is not there
// yet protects its files for a day.
func TestTidyBackupFiles(t *testing.T) {
	data, backups := withFiles(t, "old", "both"), t.TempDir()
	first, second := filepath.Join(backups, "first.db"), filepath.Join(backups, "second.db")
	wantRun(t, exitDone, nil, "backup", "--files", "--data", data, first)
	change(t, data, func(tx store.Tx) error { return people.Files.Remove(tx, "file0") })
	addFile(t, data, "file2", "new")
	wantRun(t, exitDone, nil, "backup", "--files", "--data", data, second)
	has := func(want ...string) {
		t.Helper()
		var found []string
		for _, text := range []string{"old", "both", "new"} {
			if _, err := os.Stat(blobIn(filepath.Join(backups, blobsFolder), files.Content, text)); err == nil {
				found = append(found, text)
			}
		}
		if !slices.Equal(found, want) {
			t.Errorf("there are %q, want %q", found, want)
		}
	}
	tidy := func(now time.Time) {
		t.Helper()
		if err := tidyBackupFiles(t.Context(), backups, now); err != nil {
			t.Fatal(err)
		}
	}
	draft := filepath.Join(backups, "third.db"+listDraft) // of a backup that was interrupted
	if err := os.WriteFile(draft, []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	tidy(time.Now())
	has("old", "both", "new")
	if err := os.Remove(first + listSuffix); err != nil { // as if a kill had come before it
		t.Fatal(err)
	}
	tidy(time.Now())
	has("old", "both", "new")
	if _, err := os.Stat(first + listSuffix); err != nil {
		t.Error(err)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	tidy(time.Now())
	has("old", "both", "new")
	tidy(time.Now().Add(staleList + time.Hour))
	has("both", "new")
	if _, err := os.Stat(draft); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the draft is there: %v", err)
	}
	if _, err := os.Stat(blobIn(filepath.Join(backups, blobsFolder), files.Thumbnail, "old")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the thumbnail is there: %v", err)
	}
	if err := os.WriteFile(second+listSuffix, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tidyBackupFiles(t.Context(), backups, time.Now()); err == nil {
		t.Error("a list that makes no sense is no error")
	}
	has("both", "new")
	if err := tidyBackupFiles(t.Context(), t.TempDir(), time.Now()); err != nil {
		t.Errorf("without files: %v", err)
	}
}

// A file that is added after the first look, and deleted after the database was copied, has the copy made
// again: it refers to nothing that is gone.
func TestFilesDeletedDuringABackup(t *testing.T) {
	data, file := withFiles(t, "stays"), filepath.Join(t.TempDir(), "copy.db")
	change(t, data, func(tx store.Tx) error { // its bytes are gone already
		return people.Files.Add(tx, &people.File{ID: "brief", Owner: "ann", Size: 5, Hash: hashOf("brief").String(), Time: 1})
	})
	archive, err := openArchive(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	copies := 0
	c := backupCommand{dataFlags: dataFlags{Data: data}, File: file, Files: true}
	_, needs, err := c.write(t.Context(), backupArchive{archive, func() { copies++ }, func() {
		if copies == 1 {
			change(t, data, func(tx store.Tx) error { return people.Files.Remove(tx, "brief") })
		}
	}}, func(int64, int64) {})
	if err != nil || copies != 2 || len(c.missing) > 0 || !slices.Equal(needs, []blob{{hashOf("stays"), 5}}) {
		t.Errorf("%d copies, %d files, %d missing, %v", copies, len(needs), len(c.missing), err)
	}
}

// A file that is deleted after the first look is in the backup: the database was copied with it.
func TestAFileDeletedAfterTheFirstLook(t *testing.T) {
	data, file := withFiles(t, "stays", "goes"), filepath.Join(t.TempDir(), "copy.db")
	archive, err := openArchive(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	copies := 0
	c := backupCommand{dataFlags: dataFlags{Data: data}, File: file, Files: true}
	_, needs, err := c.write(t.Context(), backupArchive{archive, func() { copies++ }, func() {
		change(t, data, func(tx store.Tx) error { return people.Files.Remove(tx, "file1") })
		if err := os.Remove(blobIn(data, files.Content, "goes")); err != nil {
			t.Error(err)
		}
	}}, func(int64, int64) {})
	if err != nil || copies != 1 || len(needs) != 2 || len(c.missing) > 0 {
		t.Errorf("%d copies, %d files, %d missing, %v", copies, len(needs), len(c.missing), err)
	}
	wantText(t, blobIn(besideBackup(file), files.Content, "goes"), "goes")
}

// A backup that finds files deleted each time gives up, and leaves no copy of a database that needs them.
func TestFilesDeletedDuringEachBackup(t *testing.T) {
	data, file := withFiles(t, "stays"), filepath.Join(t.TempDir(), "copy.db")
	archive, err := openArchive(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	copies := 0
	brief := people.File{ID: "brief", Owner: "ann", Size: 5, Hash: hashOf("brief").String(), Time: 1}
	c := backupCommand{dataFlags: dataFlags{Data: data}, File: file, Files: true}
	_, _, err = c.write(t.Context(), backupArchive{archive, func() {
		copies++
		change(t, data, func(tx store.Tx) error { return people.Files.Add(tx, &brief) })
	}, func() {
		change(t, data, func(tx store.Tx) error { return people.Files.Remove(tx, "brief") })
	}}, func(int64, int64) {})
	if !errors.Is(err, errDeleted) || copies != fileTries {
		t.Errorf("%d copies, %v; want %d, %v", copies, err, fileTries, errDeleted)
	}
	for _, path := range []string{file, file + listSuffix} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it leaves %s: %v", path, err)
		}
	}
}

// backupArchive does something before and after it copies a database.
type backupArchive struct {
	store.Archive
	before, after func()
}

func (a backupArchive) Backup(ctx context.Context, file string, progress func(done, total int64)) (*store.Report, error) {
	a.before()
	report, err := a.Archive.Backup(ctx, file, progress)
	a.after()
	return report, err
}

// An export has files as copies of their own, of all, of rooms or of a person, and an import takes them.
func TestExportAndImportCarryFiles(t *testing.T) {
	data := withFiles(t, "loose")
	for id, f := range map[string]people.File{"of bob": {Owner: "bob", Room: "lobby", Seq: 1}, "of ann": {Owner: "ann", Room: "plans", Seq: 1, Name: "../a plan"}, "again": {Owner: "bob", Room: "plans", Seq: 2, Hash: "of ann"}} {
		text := cmp.Or(f.Hash, id)
		put(t, data, files.Content, text, text)
		f.ID, f.Size, f.Hash, f.Time = id, int64(len(text)), hashOf(text).String(), 1
		change(t, data, func(tx store.Tx) error { return people.Files.Add(tx, &f) })
	}
	dir, into := filepath.Join(t.TempDir(), "export"), filepath.Join(t.TempDir(), "data")
	var exported, complaints bytes.Buffer
	if code := run([]string{"export", "--data", data, "--files", dir}, streams{out: &exported, err: &complaints}); code != exitDone || !strings.Contains(complaints.String(), "3 files (17 B) are in "+dir) {
		t.Fatalf("exit code %d: %s", code, &complaints)
	}
	before, err := os.Stat(blobIn(data, files.Content, "loose"))
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(blobIn(dir, files.Content, "loose")); err != nil || os.SameFile(before, after) {
		t.Errorf("the file of an export is the same as the server's, or there is none: %v", err)
	}
	lines := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(lines, exported.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"3 files (17 B) of 3 files (17 B) are neither in", "import --data " + into + " --files DIR\" imports the files alone"}, "import", "--data", into, "--files", t.TempDir(), lines)
	server, err := openImporter(t.Context(), into)
	if err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"another process is using"}, "import", "--data", into, "--files", dir)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"no database"}, "import", "--data", t.TempDir(), "--files", dir)
	wantRun(t, exitDone, []string{"3 files (17 B) are there"}, "import", "--data", into, "--files", dir)
	wantRun(t, exitDone, []string{"4 files"}, "check", "--files", "--data", into)
	wantText(t, blobIn(into, files.Thumbnail, "loose"), "small")
	archive, err := openArchive(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	plans, err := kaban.ParseRoomName("plans")
	if err != nil {
		t.Fatal(err)
	}
	c := exportCommand{dataFlags: dataFlags{Data: data}, Files: filepath.Join(t.TempDir(), "plans")}
	for range 2 { // again in the same place
		complaints.Reset()
		if err := c.copyFiles(t.Context(), archive, []kaban.RoomName{plans}, nil, streams{err: &complaints}); err != nil || !strings.Contains(complaints.String(), "2 files (12 B)") {
			t.Errorf("the files of a room: %v, %s", err, &complaints)
		}
	}
	wantText(t, filepath.Join(c.Files, "of ann", "a plan"), "of ann")
	wantText(t, filepath.Join(c.Files, "again", files.CleanName("")), "of ann")
	if err := os.WriteFile(blobIn(data, files.Content, "of ann"), []byte("OF ANN"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.copyFiles(t.Context(), archive, []kaban.RoomName{plans}, nil, streams{err: &complaints}); err == nil || !strings.Contains(err.Error(), "2 files (12 B) of 2 files (12 B) are missing") {
		t.Errorf("bytes that are wrong: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Files, "of ann", "a plan")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("bytes that are wrong are exported: %v", err)
	}
	if err := os.Remove(blobIn(data, files.Content, "of bob")); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{"2 files (12 B) of 3 files (17 B) are missing"}, "export", "--data", data, "--files", filepath.Join(t.TempDir(), "export"))
}

// What a check says of the files of a database does not lead to commands for data directories, and a directory that is
// not mounted is not one whose files are all lost.
func TestCheckOfFilesBesideADatabase(t *testing.T) {
	archive, err := openArchive(t.Context(), withFiles(t, "good", "missing"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	shared, state := t.TempDir(), t.TempDir()
	if err := (filePlace{dir: shared}).write(state); err != nil {
		t.Fatal(err)
	}
	c := checkCommand{dataFlags: dataFlags{Data: "postgres://db/chat", nodeFlags: nodeFlags{State: state}}}
	check := func(want string) {
		t.Helper()
		err := c.checkFiles(t.Context(), archive, streams{out: io.Discard, err: io.Discard})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "kaban restore") {
			t.Errorf("it says %v, want %q", err, want)
		}
	}
	check("none of the 2 files")
	put(t, shared, files.Content, "good", "good")
	check("1 bad file in " + shared + "; no message is damaged, but some offer what is not there: put those files back from a backup of " + shared)
}
