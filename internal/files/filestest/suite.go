// Package filestest is the contract of files.Store as a suite of tests. Every driver
// passes it.
package filestest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/files"
)

// Bytes returns bytes that look random and are the same for the same seed.
func Bytes(seed, size int) []byte {
	source := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))
	data := make([]byte, size)
	source.Read(data)
	return data
}

// Stage writes a file, and returns it as a content with its key.
func Stage(t testing.TB, data []byte) (files.Key, files.Staged) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "staged")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := files.Hash(sha256.Sum256(data))
	return files.Key{Hash: sum}, files.Staged{Path: path, Size: int64(len(data)), Sum: sum}
}

// Add stages bytes as a content and adds it.
func Add(t testing.TB, s files.Store, data []byte) files.Key {
	t.Helper()
	key, staged := Stage(t, data)
	if err := s.Add(t.Context(), key, staged); err != nil {
		t.Fatalf("Add: %v", err)
	}
	return key
}

// Read returns the bytes of a blob, and what Open says of it.
func Read(t testing.TB, s files.Store, key files.Key) ([]byte, files.Info) {
	t.Helper()
	f, info, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("read: %v", err)
	}
	return data, info
}

// Peak runs a function and returns by how many bytes the heap grew at most.
func Peak(run func()) uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, most := stats.HeapAlloc, uint64(0)
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	run()
	close(stop)
	watching.Wait()
	return most - min(before, most)
}

// Sizes returns the blobs of a kind.
func Sizes(t testing.TB, s files.Store, kind files.Kind) map[files.Key]int64 {
	t.Helper()
	all := make(map[files.Key]int64)
	for info, err := range s.All(t.Context(), kind) {
		if err != nil {
			t.Fatalf("All: %v", err)
		}
		if _, twice := all[info.Key]; twice {
			t.Errorf("All has %s twice", info.Key)
		}
		all[info.Key] = info.Size
	}
	return all
}

// Run tests a driver. Each call of open returns a store that is empty. Damage changes the
// bytes of a blob behind the store's back.
func Run(t *testing.T, open func(t *testing.T) files.Store, damage func(t *testing.T, s files.Store, key files.Key, data []byte)) {
	for name, test := range map[string]func(*testing.T, files.Store){
		"kept":      testKept,
		"missing":   testMissing,
		"mismatch":  testMismatch,
		"seek":      testSeek,
		"serve":     testServe,
		"at once":   testAtOnce,
		"list":      testList,
		"cancelled": testCancelled,
		"staged":    testStagedIsRemoved,
		"check":     func(t *testing.T, s files.Store) { testCheck(t, s, damage) },
		"mended":    func(t *testing.T, s files.Store) { testMended(t, s, damage) },
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testKept(t *testing.T, s files.Store) {
	began := time.Now()
	for _, size := range []int{0, 1, 5000, 32 << 10, 1<<20 + 1} {
		data := Bytes(size, size)
		key := Add(t, s, data)
		got, info := Read(t, s, key)
		if !bytes.Equal(got, data) || info.Key != key || info.Size != int64(size) {
			t.Errorf("%d bytes: got %d, %+v", size, len(got), info)
		}
		if info.Time.Before(began.Add(-time.Hour)) || info.Time.After(began.Add(time.Hour)) {
			t.Errorf("it is of %s, now is %s", info.Time, began)
		}
		if again := Add(t, s, data); again != key {
			t.Errorf("added again it is %s", again)
		}
	}
	// A thumbnail lies beside the content with the same hash.
	content := Add(t, s, []byte("content"))
	thumb := files.Key{Kind: files.Thumbnail, Hash: content.Hash}
	_, staged := Stage(t, []byte("thumbnail"))
	if err := s.Add(t.Context(), thumb, staged); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[files.Key]string{content: "content", thumb: "thumbnail"} {
		if got, _ := Read(t, s, key); string(got) != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if err := s.Remove(t.Context(), content); err != nil {
		t.Fatal(err)
	}
	if got, _ := Read(t, s, thumb); string(got) != "thumbnail" {
		t.Errorf("without the content the thumbnail is %q", got)
	}
}

func testMissing(t *testing.T, s files.Store) {
	key, _ := Stage(t, []byte("never added"))
	if _, _, err := s.Open(t.Context(), key); !errors.Is(err, files.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
	}
	if err := s.Remove(t.Context(), key); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if state, err := files.Check(t.Context(), s, key, -1); state != files.Missing || err != nil {
		t.Errorf("Check: %v, %v", state, err)
	}
	key = Add(t, s, []byte("added"))
	for range 2 {
		if err := s.Remove(t.Context(), key); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, _, err := s.Open(t.Context(), key); !errors.Is(err, files.ErrNotFound) {
		t.Errorf("Open after Remove: %v, want ErrNotFound", err)
	}
	if got := Sizes(t, s, files.Content); len(got) != 0 {
		t.Errorf("All: %v", got)
	}
}

// A file that is not what it was said to be leaves nothing.
func testMismatch(t *testing.T, s files.Store) {
	key, staged := Stage(t, []byte("the bytes"))
	other, _ := Stage(t, []byte("other bytes"))
	for name, c := range map[string]struct {
		key    files.Key
		staged files.Staged
	}{
		"the name": {other, staged},
		"the sum":  {other, files.Staged{Path: staged.Path, Size: staged.Size, Sum: other.Hash}},
		"the size": {key, files.Staged{Path: staged.Path, Size: staged.Size + 1, Sum: staged.Sum}},
		"of a thumbnail": {
			files.Key{Kind: files.Thumbnail, Hash: key.Hash},
			files.Staged{Path: staged.Path, Size: staged.Size, Sum: other.Hash},
		},
	} {
		if err := s.Add(t.Context(), c.key, c.staged); !errors.Is(err, files.ErrMismatch) {
			t.Errorf("%s: %v, want ErrMismatch", name, err)
		}
	}
	gone := files.Staged{Path: filepath.Join(t.TempDir(), "gone"), Size: staged.Size, Sum: staged.Sum}
	if err := s.Add(t.Context(), key, gone); !errors.Is(err, os.ErrNotExist) || errors.Is(err, files.ErrNotFound) {
		t.Errorf("without a file: %v, want that it does not exist", err)
	}
	for _, kind := range files.Kinds {
		if got := Sizes(t, s, kind); len(got) != 0 {
			t.Errorf("there are %v", got)
		}
	}
	if n, err := s.Tidy(t.Context()); n != 0 || err != nil {
		t.Errorf("Tidy: %d, %v", n, err)
	}
}

func testSeek(t *testing.T, s files.Store) {
	data := Bytes(1, 300_000)
	f, _, err := s.Open(t.Context(), Add(t, s, data))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	random := rand.New(rand.NewPCG(1, 1))
	at := int64(0)
	for range 60 {
		to := random.Int64N(int64(len(data)) + 10)
		offset, whence := to, io.SeekStart
		switch random.IntN(3) {
		case 1:
			offset, whence = to-at, io.SeekCurrent
		case 2:
			offset, whence = to-int64(len(data)), io.SeekEnd
		}
		if at, err = f.Seek(offset, whence); err != nil || at != to {
			t.Fatalf("Seek(%d, %d): %d, %v, want %d", offset, whence, at, err, to)
		}
		piece := make([]byte, random.IntN(5000))
		n, err := io.ReadFull(f, piece)
		want := data[min(to, int64(len(data))):]
		want = want[:min(len(want), len(piece))]
		if !bytes.Equal(piece[:n], want) || (err != nil) != (len(want) < len(piece)) {
			t.Fatalf("%d bytes at %d: got %d, %v, want %d", len(piece), to, n, err, len(want))
		}
		at += int64(n)
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("it has a position before its beginning")
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := f.Read(make([]byte, 1)); err == nil {
		t.Error("it can be read after Close")
	}
}

// A blob goes through http.ServeContent, with ranges and conditions.
func testServe(t *testing.T, s files.Store) {
	data := Bytes(2, 100_000)
	key := Add(t, s, data)
	serve := func(w http.ResponseWriter, r *http.Request) {
		f, _, err := s.Open(r.Context(), key)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		files.Headers(w.Header(), files.Served{Key: key, Name: "a.bin", Type: "application/octet-stream"})
		http.ServeContent(w, r, "", time.Time{}, f)
	}
	etag := ""
	for _, c := range []struct {
		method, header, value string
		status                int
		body                  []byte
	}{
		{"GET", "", "", 200, data},
		{"HEAD", "", "", 200, nil},
		{"GET", "Range", "bytes=10-19", 206, data[10:20]},
		{"GET", "Range", "bytes=99990-", 206, data[99_990:]},
		{"GET", "Range", "bytes=-5", 206, data[99_995:]},
		{"GET", "Range", "bytes=100000-", 416, nil},
		{"GET", "If-None-Match", "etag", 304, nil},
		{"GET", "If-Match", `"other"`, 412, nil},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		if c.value == "etag" {
			c.value = etag
		}
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		serve(w, r)
		if etag == "" {
			etag = w.Header().Get("ETag")
		}
		if w.Code != c.status || c.status < 300 && !bytes.Equal(w.Body.Bytes(), c.body) || w.Header().Get("Last-Modified") != "" {
			t.Errorf("%s with %s %s: %d and %d bytes, want %d and %d", c.method, c.header, c.value, w.Code, w.Body.Len(), c.status, len(c.body))
		}
		if c.status == 200 && w.Header().Get("Content-Length") != "100000" {
			t.Errorf("%s: the length is %s", c.method, w.Header().Get("Content-Length"))
		}
	}
}

// Many add, read and remove the same few blobs at once: everyone finds a whole blob or none.
func testAtOnce(t *testing.T, s files.Store) {
	var group sync.WaitGroup
	for worker := range 8 {
		random := rand.New(rand.NewPCG(uint64(worker), 2))
		key, staged := Stage(t, Bytes(worker%2, 60_000))
		group.Go(func() {
			for range 25 {
				var err error
				switch random.IntN(6) {
				case 0:
					err = s.Remove(t.Context(), key)
				case 1:
					_, err = s.Tidy(t.Context())
				case 2, 3:
					var state files.State
					if state, err = files.Check(t.Context(), s, key, 60_000); state != files.Good && state != files.Missing {
						t.Errorf("it is %s", state)
					}
					if errors.Is(err, files.ErrNotFound) { // removed while it was read
						err = nil
					}
				default:
					err = s.Add(t.Context(), key, staged)
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
				}
			}
		})
	}
	group.Wait()
	key, staged := Stage(t, Bytes(9, 60_000))
	for range 10 {
		group.Go(func() {
			if err := s.Add(t.Context(), key, staged); err != nil {
				t.Errorf("Add: %v", err)
			}
			if state, err := files.Check(t.Context(), s, key, 60_000); state != files.Good || err != nil {
				t.Errorf("after Add it is %s, %v", state, err)
			}
		})
	}
	group.Wait()
	if n, err := s.Tidy(t.Context()); n != 0 || err != nil {
		t.Errorf("%d drafts are left, %v", n, err)
	}
}

func testList(t *testing.T, s files.Store) {
	want := make(map[files.Key]int64)
	for i := range 40 {
		want[Add(t, s, Bytes(100+i, i))] = int64(i)
	}
	if got := Sizes(t, s, files.Content); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Sizes(t, s, files.Thumbnail); len(got) != 0 {
		t.Errorf("thumbnails: %v", got)
	}
	for key := range want {
		thumb := files.Key{Kind: files.Thumbnail, Hash: key.Hash}
		_, staged := Stage(t, []byte("thumb"))
		if err := s.Add(t.Context(), thumb, staged); err != nil {
			t.Fatal(err)
		}
		if got := Sizes(t, s, files.Thumbnail); len(got) != 1 || got[thumb] != 5 {
			t.Errorf("thumbnails: %v", got)
		}
		break
	}
	for range s.All(t.Context(), files.Content) { // the caller may stop
		break
	}
	// Whoever lists may remove.
	for info := range s.All(t.Context(), files.Content) {
		if err := s.Remove(t.Context(), info.Key); err != nil {
			t.Error(err)
		}
	}
	if got := Sizes(t, s, files.Content); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
}

func testCancelled(t *testing.T, s files.Store) {
	key := Add(t, s, []byte("there"))
	other, staged := Stage(t, []byte("not there"))
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := s.Add(ctx, other, staged); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("Add: %v", err)
	}
	for _, err := range s.All(ctx, files.Content) {
		if !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
			t.Errorf("All: %v", err)
		}
	}
	if _, err := files.Check(ctx, s, key, -1); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("Check: %v", err)
	}
	if got := slices.Collect(maps.Keys(Sizes(t, s, files.Content))); len(got) != 1 || got[0] != key {
		t.Errorf("there are %v", got)
	}
}

// The blob does not need the staged file any more.
func testStagedIsRemoved(t *testing.T, s files.Store) {
	data := Bytes(3, 1000)
	key, staged := Stage(t, data)
	if err := s.Add(t.Context(), key, staged); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(staged.Path); err != nil {
		t.Fatal(err)
	}
	if got, _ := Read(t, s, key); !bytes.Equal(got, data) {
		t.Error("the blob has changed")
	}
}

func testCheck(t *testing.T, s files.Store, damage func(*testing.T, files.Store, files.Key, []byte)) {
	data := Bytes(4, 50_000)
	flipped := bytes.Clone(data)
	flipped[40_000] ^= 1
	var pictured strings.Builder
	pictured.WriteString("\x89PNG\r\n\x1a\n")
	pictured.Write(data)
	for _, c := range []struct {
		name string
		kind files.Kind
		data []byte
		size int64
		want files.State
	}{
		{"as it was", files.Content, data, 50_000, files.Good},
		{"of unknown size", files.Content, data, -1, files.Good},
		{"one bit", files.Content, flipped, 50_000, files.Wrong},
		{"cut", files.Content, data[:49_999], 50_000, files.Partial},
		{"cut to nothing", files.Content, nil, 50_000, files.Partial},
		{"cut, of unknown size", files.Content, data[:100], -1, files.Wrong},
		{"longer", files.Content, append(bytes.Clone(data), 0), 50_000, files.Wrong},
		{"a thumbnail", files.Thumbnail, []byte(pictured.String()), -1, files.Good},
		{"a thumbnail of another type", files.Thumbnail, data, -1, files.Wrong},
		{"an empty thumbnail", files.Thumbnail, nil, -1, files.Partial},
		{"a short thumbnail", files.Thumbnail, []byte(pictured.String()), 100_000, files.Partial},
	} {
		key, staged := Stage(t, data)
		key.Kind = c.kind
		if err := s.Add(t.Context(), key, staged); err != nil {
			t.Fatal(err)
		}
		damage(t, s, key, c.data)
		if got, err := files.Check(t.Context(), s, key, c.size); got != c.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
		if err := s.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// Adding a blob again replaces one that is damaged.
func testMended(t *testing.T, s files.Store, damage func(*testing.T, files.Store, files.Key, []byte)) {
	data := Bytes(5, 20_000)
	key := Add(t, s, data)
	for _, bad := range [][]byte{nil, data[:10], Bytes(6, 20_000)} {
		damage(t, s, key, bad)
		Add(t, s, data)
		if state, err := files.Check(t.Context(), s, key, 20_000); state != files.Good || err != nil {
			t.Errorf("with %d bytes, added again: %s, %v", len(bad), state, err)
		}
	}
}
