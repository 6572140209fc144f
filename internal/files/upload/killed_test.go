//go:build unix

package upload

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kaban/internal/childtest"
	faulty "kaban/internal/failpoint/disk"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/files/filestest"
)

const (
	// killedVariable makes TestKilledChild upload to the directory that it names, until it is
	// killed or its standard input ends.
	killedVariable = "FILES_TEST_KILLED"
	// faultVariable makes TestFaultChild upload to the directory that it names.
	faultVariable = "FILES_TEST_FAULT"
	// maxKilled is how many files the child uploads. Every failpoint comes before.
	maxKilled = 200
	// piece is how much it appends at a time, step how often it makes that durable.
	piece, step = 10_000, 3000
)

// killedBytes are those of the nth file. Every third is as the one before.
func killedBytes(n int) []byte { return filestest.Bytes((n+2)/3*3, 25_000+n%3/2) }

// TestKilledChild uploads files, adds them to a store, and prints each thing that is done.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	s, store := opened(t, filepath.Join(dir, "uploads"), DefaultLimits()), storeIn(t, dir)
	s.checkpoint = step
	for n := range maxKilled {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		data := killedBytes(n)
		id := created(t, s, "ann", int64(len(data)))
		fmt.Println("did create", id, n)
		for at := 0; at < len(data); at += piece {
			end := min(at+piece, len(data))
			appended(t, s, id, int64(at), data[at:end])
			fmt.Println("did append", id, end)
		}
		if n%4 == 3 {
			fmt.Println("will remove", id, 0)
			if err := s.Remove(id); err != nil {
				t.Fatal(err)
			}
			fmt.Println("did remove", id, 0)
			continue
		}
		staged, err := s.Finish(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		key := files.Key{Hash: staged.Sum}
		if err := store.Add(t.Context(), key, staged); err != nil {
			t.Fatal(err)
		}
		fmt.Println("did add", id, n) // what refers to it is committed now
		fmt.Println("will settle", id, 0)
		if err := s.Settle(id, nil); err != nil {
			t.Fatal(err)
		}
		fmt.Println("did settle", id, 0)
		if n%5 == 4 {
			// The faulty disk cannot lose one of two names of a file after it has forgotten the other.
			if err := faulty.SyncDirectory(s.dir); err != nil {
				t.Fatal(err)
			}
			fmt.Println("will drop", id, n)
			if err := store.Remove(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			fmt.Println("did drop", id, n)
		}
	}
}

func storeIn(t *testing.T, dir string) *disk.Store {
	t.Helper()
	store, err := disk.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// done is what a child has printed of an upload.
type done struct {
	number   int
	appended int64
	did      map[string]bool // and "will"
}

// doneBy returns what a child has printed of each upload, and last of each blob.
func doneBy(t *testing.T, output string) (all map[string]*done, blobs map[files.Key]string) {
	t.Helper()
	all, blobs = make(map[string]*done), make(map[files.Key]string)
	for line := range strings.Lines(output) {
		var tense, what, id string
		var n int
		if k, _ := fmt.Sscan(line, &tense, &what, &id, &n); k != 4 || tense != "did" && tense != "will" {
			continue
		}
		if what == "create" {
			all[id] = &done{number: n, did: make(map[string]bool)}
		}
		all[id].did[tense+" "+what] = true
		switch what {
		case "append":
			all[id].appended = int64(n)
		case "add", "drop":
			blobs[files.Key{Hash: sha256.Sum256(killedBytes(n))}] = tense + " " + what
		}
	}
	if len(all) == 0 {
		t.Fatalf("the child printed:\n%s", output)
	}
	return all, blobs
}

// TestCrashes has tests of processes that fail.
func TestCrashes(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	t.Run("killed", func(t *testing.T) { testKilled(t, binary) })
	t.Run("a sync fails", func(t *testing.T) { testFailedSync(t, binary) })
}

// A process that is killed at any step, with or without a loss of power, loses nothing that
// it has acknowledged, and the next one finds and removes everything else.
func testKilled(t *testing.T, binary childtest.Fragile) {
	for i, point := range []string{
		"upload.data-made:2", "upload.record-written:2", "upload.record-renamed:2", "upload.written:4", "upload.written:11", "upload.synced:3", "upload.synced:12",
		"upload.offset-written:2", "upload.offset-written:13", "upload.recorded:5", "upload.recorded:14", "blob.linked:2", "blob.filled:2", "blob.renamed:2",
		"upload.answer-written:2", "upload.settling:2", "upload.settled:2", "upload.record-removed:1", "upload.removed:1", "blob.removed:1",
		// Right after a blob was removed.
		"upload.data-made:6", "upload.record-written:6", "upload.record-renamed:6", "upload.written:16", "upload.data-made:6", "upload.data-made:6", "upload.data-made:6",
	} {
		for _, faults := range []string{"", fmt.Sprint("lose,seed=", i)} {
			dir := childtest.DiskDir(t)
			checkKilled(t, point+" "+faults, dir, killed(t, binary, dir, point, faults))
		}
	}
}

// killed runs the child until a failpoint kills it, on a disk with faults.
func killed(t *testing.T, binary childtest.Fragile, dir, point, faults string) (output string) {
	t.Helper()
	child := exec.Command(string(binary), "-test.run", "^TestKilledChild$")
	child.Env = append(os.Environ(), killedVariable+"="+dir, "KABAN_FAILPOINT="+point, "KABAN_FAULT_DISK="+faults)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	text, err := child.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s %s: %v\n%s", point, faults, err, text[max(0, len(text)-2000):])
	}
	return string(text)
}

func checkKilled(t *testing.T, point, dir, output string) {
	t.Helper()
	s, store := opened(t, filepath.Join(dir, "uploads"), DefaultLimits()), storeIn(t, dir)
	if _, err := store.Tidy(t.Context()); err != nil {
		t.Errorf("%s: Tidy: %v", point, err)
	}
	var names []string
	all, blobs := doneBy(t, output)
	for id, d := range all {
		data := killedBytes(d.number)
		info, err := s.Info(id)
		switch {
		case d.did["did remove"] || d.did["will remove"] && err != nil:
			if err == nil {
				t.Errorf("%s: %s is back", point, id)
			}
			continue
		case err != nil:
			t.Errorf("%s: %s, with %d bytes: %v", point, id, d.appended, err)
			continue
		case info.Offset < d.appended || d.did["did settle"] && !info.Settled || info.Settled && !d.did["will settle"]:
			t.Errorf("%s: %+v has %d bytes acknowledged", point, info, d.appended)
		}
		if info.Settled {
			names = append(names, id+doneSuffix)
			continue
		}
		names = append(names, id+dataSuffix, id+infoSuffix)
		appended(t, s, id, info.Offset, data[info.Offset:])
		finished(t, s, id, data)
	}
	checkBlobs(t, point, store, blobs)
	for _, info := range s.All() { // what was created and not told
		if !slices.Contains(names, info.ID+dataSuffix) && !info.Settled {
			names = append(names, info.ID+dataSuffix, info.ID+infoSuffix)
		}
	}
	slices.Sort(names)
	if got := left(t, filepath.Join(dir, "uploads")); !slices.Equal(got, names) {
		t.Errorf("%s: there are %v, want %v", point, got, names)
	}
}

// checkBlobs does what a sweep does, and looks for what is left.
func checkBlobs(t *testing.T, point string, store *disk.Store, blobs map[files.Key]string) {
	t.Helper()
	for info, err := range store.All(t.Context(), files.Content) {
		if err != nil {
			t.Fatal(err)
		}
		if state, err := files.Check(t.Context(), store, info.Key, -1); state != files.Good || err != nil {
			t.Errorf("%s: %s is %s, %v", point, info.Key, state, err)
		}
		last := blobs[info.Key]
		if last == "did drop" {
			t.Errorf("%s: %s is back", point, info.Key)
		}
		if last != "did add" { // nothing refers to it
			if err := store.Remove(t.Context(), info.Key); err != nil {
				t.Error(err)
			}
		}
	}
	there := filestest.Sizes(t, store, files.Content)
	for key, last := range blobs {
		if _, ok := there[key]; ok != (last == "did add") {
			t.Errorf("%s: %s is there: %t, and the child printed %q last", point, key, ok, last)
		}
	}
}

// TestFullChild fills a disk in the middle of an upload.
func TestFullChild(t *testing.T) {
	dir := os.Getenv(faultVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	s, data := opened(t, filepath.Join(dir, "uploads"), DefaultLimits()), filestest.Bytes(1, 300_000)
	id := created(t, s, "ann", int64(len(data)))
	lift := childtest.LimitFiles(t, 100_001)
	n, err := s.Append(t.Context(), id, 0, bytes.NewReader(data))
	if n < 50_000 || n > 100_001 || !errors.Is(err, files.ErrNoSpace) {
		t.Errorf("of a full disk: %d, %v, want up to 100001 and ErrNoSpace", n, err)
	}
	durable := n
	if n, err := s.Append(t.Context(), id, n, bytes.NewReader(data[n:])); n != 0 || !errors.Is(err, files.ErrNoSpace) {
		t.Errorf("still full: %d, %v", n, err)
	}
	if info, _ := opened(t, s.dir, DefaultLimits()).Info(id); info.Offset != durable {
		t.Errorf("after a restart it is at %d", info.Offset)
	}
	lift()
	appended(t, s, id, n, data[n:])
	finished(t, s, id, data)
	lift = childtest.LimitFiles(t, 20)
	if _, err := s.Create(Draft{Owner: "ann", Length: 1}); !errors.Is(err, files.ErrNoSpace) {
		t.Errorf("Create: %v, want ErrNoSpace", err)
	}
	lift()
	if names := left(t, s.dir); len(names) != 2 || len(s.All()) != 1 || s.Staged() != int64(len(data)) {
		t.Errorf("left are %v, and %d bytes", names, s.Staged())
	}
	fmt.Println("child: passed")
}

// A full disk costs a client nothing that it has sent.
func TestFull(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run", "^TestFullChild$")
	child.Env = append(os.Environ(), faultVariable+"="+t.TempDir())
	if output, err := child.CombinedOutput(); err != nil || !strings.Contains(string(output), "child: passed") {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestSyncChild has the syncs of its files fail once.
func TestSyncChild(t *testing.T) {
	dir := os.Getenv(faultVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	s, data := opened(t, filepath.Join(dir, "uploads"), DefaultLimits()), syncBytes()
	s.checkpoint = step
	id := created(t, s, "ann", int64(len(data)))
	failed := 0
	for at := int64(0); at < syncSent; {
		n, err := s.Append(t.Context(), id, at, bytes.NewReader(data[at:min(at+piece, syncSent)]))
		if err != nil {
			if failed++; !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
		}
		at += n
		fmt.Println("acknowledged", failed, id, at)
		if info, _ := s.Info(id); info.Offset != at {
			t.Fatalf("it is at %d, %d are acknowledged", info.Offset, at)
		}
		if info, err := os.Stat(s.path(id, dataSuffix)); err != nil || info.Size() != at {
			t.Fatalf("the file has %d bytes, %d are acknowledged", info.Size(), at)
		}
		if failed > 0 && os.Getenv(lossVariable) != "" {
			break
		}
	}
	syscall.Kill(os.Getpid(), syscall.SIGUSR1) // the power is lost
	select {}
}

// lossVariable makes TestSyncChild lose its power right after the sync that fails.
const lossVariable = "FILES_TEST_LOSS"

// syncSent is how many bytes of syncBytes TestSyncChild uploads.
const syncSent = 50_000

func syncBytes() []byte { return filestest.Bytes(1, syncSent+1) }

// What a sync that failed should have made durable is written again.
func testFailedSync(t *testing.T, binary childtest.Fragile) {
	for i, fault := range []string{"failsync=1,of=*.data", "failsync=3,of=*.data", "failsync=2,of=*.info", "failsync=4,of=*.info"} {
		for seed := range 4 {
			dir := childtest.DiskDir(t)
			child := exec.Command(string(binary), "-test.run", "^TestSyncChild$")
			child.Env = append(os.Environ(), faultVariable+"="+dir, fmt.Sprint("KABAN_FAULT_DISK=lose,", fault, ",seed=", 4*i+seed))
			if seed%2 == 0 {
				child.Env = append(child.Env, lossVariable+"=1")
			}
			output, err := child.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%s: %v\n%s", fault, err, output)
			}
			_, last, _ := strings.Cut(string(output[max(0, bytes.LastIndex(output, []byte("acknowledged"))):]), " ")
			var failed int
			var id string
			var at int64
			if _, err := fmt.Sscan(last, &failed, &id, &at); err != nil || failed != 1 {
				t.Fatalf("%s: %v\n%s", fault, err, output)
			}
			s, data := opened(t, filepath.Join(dir, "uploads"), DefaultLimits()), syncBytes()
			info, err := s.Info(id)
			if err != nil || info.Offset < at {
				t.Fatalf("%s: %+v, %v, and %d bytes are acknowledged", fault, info, err, at)
			}
			appended(t, s, id, info.Offset, data[info.Offset:])
			finished(t, s, id, data)
		}
	}
}
