package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"kaban/internal/files/filestest"
)

func opened(t testing.TB, dir string, l Limits) *Staging {
	t.Helper()
	s, err := Open(Config{Dir: dir, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func created(t testing.TB, s *Staging, owner string, length int64) string {
	t.Helper()
	info, err := s.Create(Draft{Owner: owner, Length: length, Name: "a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

func appended(t testing.TB, s *Staging, id string, offset int64, data []byte) {
	t.Helper()
	if n, err := s.Append(t.Context(), id, offset, bytes.NewReader(data)); n != int64(len(data)) || err != nil {
		t.Fatalf("Append of %d bytes at %d: %d, %v", len(data), offset, n, err)
	}
}

// finished checks that an upload has its bytes, and returns its path.
func finished(t testing.TB, s *Staging, id string, want []byte) string {
	t.Helper()
	staged, err := s.Finish(t.Context(), id)
	if err != nil {
		t.Fatalf("Finish: %v", err)
	}
	if got, err := os.ReadFile(staged.Path); !bytes.Equal(got, want) || err != nil || staged.Size != int64(len(want)) || staged.Sum != sha256.Sum256(want) {
		t.Fatalf("%d bytes are there, %+v, %v; want %d", len(got), staged, err, len(want))
	}
	return staged.Path
}

// left returns the names of files in a directory.
func left(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// An upload grows in pieces, through a restart, and ends as a file.
func TestGrows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	s := opened(t, dir, DefaultLimits())
	data := filestest.Bytes(1, 3<<20)
	info, err := s.Create(Draft{Owner: "ann", Length: int64(len(data)), Name: "../photo\u202e.PNG", Meta: map[string]string{"alt": "a cat"}})
	if err != nil {
		t.Fatal(err)
	}
	id := info.ID
	if len(id) != 26 || info.Name != "photo.PNG" || info.Offset != 0 || info.Complete() {
		t.Errorf("created as %+v", info)
	}
	at := int64(0)
	for _, size := range []int{0, 1, 100, 1 << 20, 70_000} {
		appended(t, s, id, at, data[at:at+int64(size)])
		at += int64(size)
		if _, err := s.Finish(t.Context(), id); !errors.Is(err, ErrIncomplete) {
			t.Errorf("Finish at %d: %v", at, err)
		}
	}
	s = opened(t, dir, DefaultLimits())
	again, err := s.Info(id)
	if err != nil || again.Offset != at || again.Owner != "ann" || again.Name != info.Name || again.Meta["alt"] != "a cat" || !again.Begun.Equal(info.Begun) || again.Length != info.Length {
		t.Errorf("after a restart it is %+v, %v", again, err)
	}
	for _, offset := range []int64{0, at - 1, at + 1, -1} {
		_, err := s.Append(t.Context(), id, offset, strings.NewReader("x"))
		if e, ok := errors.AsType[*OffsetError](err); !ok || e.Want != at {
			t.Errorf("at %d: %v, want an OffsetError", offset, err)
		}
	}
	appended(t, s, id, at, data[at:])
	for range 2 {
		finished(t, s, id, data)
	}
	if info, _ := s.Info(id); !info.Complete() {
		t.Errorf("it is %+v", info)
	}
	s = opened(t, dir, DefaultLimits())
	finished(t, s, id, data)
	if all := s.All(); len(all) != 1 || all[0].ID != id || !all[0].Complete() {
		t.Errorf("All: %+v", all)
	}
	if err := s.Remove(id); err != nil {
		t.Fatal(err)
	}
	if names := left(t, dir); len(names) != 0 || s.Staged() != 0 || len(s.All()) != 0 || len(s.owners) != 0 {
		t.Errorf("left are %v, %d bytes, %v", names, s.Staged(), s.owners)
	}
	if _, err := s.Info(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("Info: %v", err)
	}
	if err := s.Remove(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("Remove again: %v", err)
	}
}

// What came before an error counts, and nothing beyond the length.
func TestAppendErrors(t *testing.T) {
	s := opened(t, t.TempDir(), DefaultLimits())
	broken := errors.New("connection reset")
	id := created(t, s, "ann", 10)
	n, err := s.Append(t.Context(), id, 0, io.MultiReader(strings.NewReader("0123"), iotest.ErrReader(broken)))
	if n != 4 || !errors.Is(err, broken) {
		t.Errorf("a break: %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n, err = s.Append(ctx, id, 4, io.MultiReader(strings.NewReader("45"), readerFunc(func([]byte) (int, error) { cancel(); return 0, nil })))
	if n != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d, %v", n, err)
	}
	n, err = s.Append(t.Context(), id, 6, strings.NewReader("6789 and more"))
	if e, ok := errors.AsType[*LimitError](err); n != 4 || !ok || e.Limit != LimitSize || e.Max != 10 {
		t.Errorf("too much: %d, %v", n, err)
	}
	finished(t, s, id, []byte("0123456789"))
	if n, err := s.Append(t.Context(), id, 10, strings.NewReader("x")); n != 0 || err == nil {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	if n, err := s.Append(t.Context(), id, 10, strings.NewReader("")); n != 0 || err != nil {
		t.Errorf("nothing at the end: %d, %v", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// One of two at once is refused, and nothing of it is written.
func TestBusy(t *testing.T) {
	s := opened(t, t.TempDir(), DefaultLimits())
	id := created(t, s, "ann", 8)
	in, out := io.Pipe()
	var group sync.WaitGroup
	group.Go(func() {
		if n, err := s.Append(t.Context(), id, 0, in); n != 8 || err != nil {
			t.Errorf("Append: %d, %v", n, err)
		}
	})
	out.Write([]byte("0123")) // returns once it was read
	_, appending := s.Append(t.Context(), id, 0, strings.NewReader("abcd"))
	_, finishing := s.Finish(t.Context(), id)
	for name, err := range map[string]error{"Append": appending, "Finish": finishing, "Remove": s.Remove(id), "Settle": s.Settle(id, nil)} {
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", name, err)
		}
	}
	if n, err := s.Expire(); n != 0 || err != nil {
		t.Errorf("Expire: %d, %v", n, err)
	}
	out.Write([]byte("4567"))
	out.Close()
	group.Wait()
	finished(t, s, id, []byte("01234567"))
}

func TestLimits(t *testing.T) {
	s := opened(t, t.TempDir(), Limits{Size: 100, Staged: 250, PerOwner: 2, Uploads: 4})
	refused := func(owner string, length int64, want Limit) {
		t.Helper()
		_, err := s.Create(Draft{Owner: owner, Length: length})
		if e, ok := errors.AsType[*LimitError](err); !ok || e.Limit != want || e.Max == 0 || e.Actual <= e.Max {
			t.Errorf("%s with %d bytes: %v, want the limit %q", owner, length, err, want)
		}
	}
	refused("ann", 101, LimitSize)
	first, second := created(t, s, "ann", 100), created(t, s, "ann", Unknown)
	refused("ann", 1, LimitPerOwner)
	third := created(t, s, "bob", 100)
	refused("bob", 51, LimitStaged)
	created(t, s, "bob", 30)
	refused("cid", 1, LimitUploads)
	// Without a declaration bytes count as they come.
	n, err := s.Append(t.Context(), second, 0, strings.NewReader(strings.Repeat("x", 21)))
	if e, ok := errors.AsType[*LimitError](err); n != 20 || !ok || e.Limit != LimitStaged {
		t.Errorf("of 21 bytes %d are added: %v", n, err)
	}
	if err := s.Remove(third); err != nil {
		t.Fatal(err)
	}
	n, err = s.Append(t.Context(), second, 20, strings.NewReader(strings.Repeat("x", 81)))
	if e, ok := errors.AsType[*LimitError](err); n != 80 || !ok || e.Limit != LimitSize {
		t.Errorf("of 81 bytes %d are added: %v", n, err)
	}
	finished(t, s, second, []byte(strings.Repeat("x", 100)))
	if got := s.Staged(); got != 230 {
		t.Errorf("%d bytes are staged, want 230", got)
	}
	// One that is settled does not count.
	appended(t, s, first, 0, make([]byte, 100))
	if err := s.Settle(first, nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Staged(); got != 130 {
		t.Errorf("%d bytes are staged, want 130", got)
	}
	created(t, s, "ann", 100)
	// After a restart the same counts, but for what cannot be resumed.
	s = opened(t, s.dir, s.limits)
	if got := s.Staged(); got != 130 {
		t.Errorf("%d bytes are staged after a restart, want 130", got)
	}
	refused("ann", 121, LimitSize)
	s.limits.PerOwner = 1
	refused("ann", 1, LimitPerOwner)
	for _, d := range []Draft{
		{Owner: strings.Repeat("x", MaxOwner+1)},
		{Meta: map[string]string{"k": strings.Repeat("x", MaxMetaBytes)}},
		{Meta: func() map[string]string {
			meta := make(map[string]string)
			for i := range MaxMeta + 1 {
				meta[fmt.Sprint(i)] = ""
			}
			return meta
		}()},
	} {
		if _, err := s.Create(d); !errors.Is(err, ErrMeta) {
			t.Errorf("got %v, want ErrMeta", err)
		}
	}
}

// A settled upload has no bytes any more, and is known for an hour, also after a restart.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, DefaultLimits())
	id := created(t, s, "ann", 3)
	appended(t, s, id, 0, []byte("abc"))
	if err := os.WriteFile(s.Beside(id, Picture), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Settle(id, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if names := left(t, dir); !slices.Equal(names, []string{id + doneSuffix}) {
			t.Errorf("left are %v", names)
		}
		info, err := s.Info(id)
		if err != nil || !info.Settled || !info.Complete() || info.Owner != "ann" {
			t.Errorf("it is %+v, %v", info, err)
		}
		if _, err := s.Finish(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Finish: %v", err)
		}
		if _, err := s.Append(t.Context(), id, 3, strings.NewReader("x")); !errors.Is(err, ErrNotFound) {
			t.Errorf("Append: %v", err)
		}
		s = opened(t, dir, DefaultLimits())
	}
	if err := s.Remove(id); err != nil || len(left(t, dir)) != 0 {
		t.Errorf("left are %v, %v", left(t, dir), err)
	}
}

func TestExpire(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, Limits{Idle: 24 * time.Hour})
		expired := func(want int) {
			t.Helper()
			if n, err := s.Expire(); n != want || err != nil {
				t.Errorf("%d expire, %v, want %d", n, err, want)
			}
		}
		growing, still, done := created(t, s, "ann", 10), created(t, s, "ann", 10), created(t, s, "ann", 0)
		if err := s.Settle(done, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - 1)
		expired(0)
		time.Sleep(time.Nanosecond)
		expired(1)
		time.Sleep(22 * time.Hour)
		appended(t, s, growing, 0, []byte("x"))
		if n, err := s.Append(t.Context(), still, 0, strings.NewReader("")); n != 0 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		time.Sleep(time.Hour - 1)
		expired(0)
		time.Sleep(time.Nanosecond)
		expired(1)
		if _, err := s.Info(still); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		time.Sleep(24 * time.Hour)
		expired(1)
		if names := left(t, dir); len(names) != 0 || len(s.all) != 0 {
			t.Errorf("left are %v", names)
		}
	})
}

// Uploads that everybody has left half done give back the room for what has not come, then everything, and
// their places.
func TestHalfDoneUploadsExpire(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const owners, length = 10, 1000
		limits := DefaultLimits()
		s := opened(t, dir, limits)
		begin := func() {
			t.Helper()
			for i := range owners {
				for range limits.PerOwner {
					appended(t, s, created(t, s, fmt.Sprint("owner", i), length), 0, make([]byte, length/2))
				}
			}
		}
		staged := func(when string, want int64) {
			t.Helper()
			if got := s.Staged(); got != want {
				t.Errorf("%s: %d bytes count, want %d", when, got, want)
			}
		}
		begin()
		const all = owners * 20
		staged("at first", all*length)
		time.Sleep(reservedFor)
		if n, err := s.Expire(); n != 0 || err != nil {
			t.Errorf("%d expire, %v", n, err)
		}
		staged("after a while", all*length/2)
		time.Sleep(limits.Idle - reservedFor)
		if n, err := s.Expire(); n != all || err != nil {
			t.Errorf("%d expire, %v, want %d", n, err, all)
		}
		staged("at last", 0)
		if names := left(t, dir); len(names) != 0 {
			t.Errorf("%d files are left, such as %v", len(names), names[0])
		}
		begin() // there are places again
	})
}

// After a start nothing expires for an hour, however old it is: clients come back. A time
// of day that has jumped changes no more than that.
func TestExpireAfterAStart(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration
		gone []time.Duration // after the start
	}{
		"old":         {1000 * time.Hour, []time.Duration{time.Hour}},
		"young":       {2 * time.Hour, []time.Duration{22 * time.Hour}},
		"from future": {-1000 * time.Hour, []time.Duration{24 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := opened(t, dir, DefaultLimits())
			id := created(t, s, "ann", 10)
			appended(t, s, id, 0, []byte("x"))
			synctest.Test(t, func(t *testing.T) {
				at := time.Now().Add(-c.age)
				if err := os.Chtimes(s.path(id, infoSuffix), at, at); err != nil {
					t.Fatal(err)
				}
				s := opened(t, dir, DefaultLimits())
				for _, after := range c.gone {
					time.Sleep(after - time.Second)
					if n, err := s.Expire(); n != 0 || err != nil {
						t.Errorf("%d expire a second before, %v", n, err)
					}
					time.Sleep(time.Second)
					if n, err := s.Expire(); n != 1 || err != nil {
						t.Errorf("%d expire, %v, want 1", n, err)
					}
				}
			})
		})
	}
}

// A start removes what belongs to no upload, and nothing that is not its own.
func TestOrphans(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, DefaultLimits())
	kept, damaged, bytesGone, short, unknown := created(t, s, "a", 5), created(t, s, "a", 5), created(t, s, "a", 5), created(t, s, "a", 5), created(t, s, "a", Unknown)
	appended(t, s, kept, 0, []byte("abc"))
	appended(t, s, short, 0, []byte("abc"))
	appended(t, s, unknown, 0, []byte("abc"))
	lone := newID()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(s.path(lone, dataSuffix), "x")
	write(s.path(lone, draftSuffix), "x")
	write(s.Beside(kept, Picture), "x")
	write(s.path(kept, draftSuffix), "x")
	write(s.path(damaged, infoSuffix), "x")
	write(s.path(short, dataSuffix), "ab")
	if err := os.Remove(s.path(bytesGone, dataSuffix)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.path(kept, dataSuffix), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("beyond the last checkpoint"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	others := []string{"notes.txt", "README", lone + ".tar", strings.ToUpper(lone) + ".data"}
	for _, name := range others {
		write(filepath.Join(dir, name), "x")
	}
	s = opened(t, dir, DefaultLimits())
	want := append(others, kept+dataSuffix, kept+infoSuffix)
	slices.Sort(want)
	if names := left(t, dir); !slices.Equal(names, want) {
		t.Errorf("left are %v, want %v", names, want)
	}
	appended(t, s, kept, 3, []byte("de"))
	finished(t, s, kept, []byte("abcde"))
}

// A slot that is torn does not count, and the other does.
func TestTornSlots(t *testing.T) {
	for _, text := range []string{"", "0", strings.Repeat("\x00", slotSize), string(slotOf(7))[:slotSize-2] + "0\n", "-" + string(slotOf(7))[1:]} {
		if got := offsetOf([]byte(text)); got >= 0 {
			t.Errorf("%q is %d", text, got)
		}
	}
	for _, offset := range []int64{0, 7, 1<<63 - 1} {
		if slot := slotOf(offset); len(slot) != slotSize || offsetOf(slot) != offset {
			t.Errorf("%q is %d, want %d", slot, offsetOf(slot), offset)
		}
	}
	dir := t.TempDir()
	s := opened(t, dir, DefaultLimits())
	id := created(t, s, "ann", 100)
	for at := range int64(5) {
		appended(t, s, id, at, []byte{byte(at)})
	}
	record, err := os.ReadFile(s.path(id, infoSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for slot, want := range []int64{4, 5} { // the other one is torn
		torn := bytes.Clone(record)
		torn[(1-slot)*slotSize+20] ^= 1
		if offsetOf(record[:slotSize]) == 5 {
			want = 9 - want
		}
		if err := os.WriteFile(s.path(id, infoSuffix), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.path(id, dataSuffix), []byte{0, 1, 2, 3, 4}, 0o600); err != nil {
			t.Fatal(err)
		}
		again := opened(t, dir, DefaultLimits())
		if info, err := again.Info(id); err != nil || info.Offset != want {
			t.Errorf("with one torn it is at %d, %v, want %d", info.Offset, err, want)
		}
		appended(t, again, id, want, []byte{9})
		if info, _ := opened(t, dir, DefaultLimits()).Info(id); info.Offset != want+1 {
			t.Errorf("then it is at %d, want %d", info.Offset, want+1)
		}
	}
}

// Take is all of it at once, and leaves nothing if it fails.
func TestTake(t *testing.T) {
	s := opened(t, t.TempDir(), Limits{Size: 1000})
	info, staged, err := s.Take(t.Context(), Draft{Owner: "ann", Length: Unknown, Name: `C:\x\y.txt`}, strings.NewReader("hello"))
	if err != nil || info.Name != "y.txt" || info.Length != 5 || staged.Size != 5 || staged.Sum != sha256.Sum256([]byte("hello")) {
		t.Errorf("got %+v, %+v, %v", info, staged, err)
	}
	if err := s.Remove(info.ID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		length int64
		from   io.Reader
	}{
		"too large":      {Unknown, io.LimitReader(zeros{}, 1001)},
		"broken":         {Unknown, iotest.ErrReader(errors.New("broken"))},
		"shorter":        {10, strings.NewReader("short")},
		"longer":         {3, strings.NewReader("long")},
		"declared large": {1001, strings.NewReader("x")},
	} {
		if info, _, err := s.Take(t.Context(), Draft{Length: c.length}, c.from); err == nil {
			t.Errorf("%s: %+v", name, info)
		}
	}
	if names := left(t, s.dir); len(names) != 0 || len(s.All()) != 0 {
		t.Errorf("left are %v", names)
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A file of 1 GB takes no more memory than a small one, and 1,000 at once take 32 KiB each.
func TestMemory(t *testing.T) {
	s := opened(t, t.TempDir(), Limits{})
	const gigabyte = 1 << 30
	id := created(t, s, "ann", gigabyte)
	// The bytes are a hole but for the last: what is measured is memory, not the disk.
	if err := os.Truncate(s.path(id, dataSuffix), gigabyte-1); err != nil {
		t.Fatal(err)
	}
	e := s.all[id]
	e.info.Offset = gigabyte - 1
	grown := filestest.Peak(func() {
		appended(t, s, id, gigabyte-1, []byte{1})
		if staged, err := s.Finish(t.Context(), id); err != nil || staged.Size != gigabyte {
			t.Errorf("Finish: %+v, %v", staged, err)
		}
	})
	t.Logf("a file of 1 GiB takes %d KiB of heap", grown>>10)
	if grown > 16<<20 {
		t.Errorf("a file of 1 GiB takes %d bytes of heap", grown)
	}
	const many, size = 1000, 200_000
	ids := make([]string, many)
	for i := range ids {
		ids[i] = created(t, s, "ann", size)
	}
	var all sync.WaitGroup
	ready := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(many)
	grown = filestest.Peak(func() {
		for _, id := range ids {
			all.Go(func() {
				begun := false
				from := io.MultiReader(io.LimitReader(zeros{}, size/2), readerFunc(func([]byte) (int, error) {
					if !begun {
						begun = true
						waiting.Done()
						<-ready // all are in the middle
					}
					return 0, io.EOF
				}), io.LimitReader(zeros{}, size/2))
				if n, err := s.Append(t.Context(), id, 0, from); n != size || err != nil {
					t.Errorf("Append: %d, %v", n, err)
				}
			})
		}
		waiting.Wait()
		close(ready)
		all.Wait()
	})
	t.Logf("%d uploads at once take %d KiB each", many, grown/many/1024)
	if grown > many*64<<10 {
		t.Errorf("%d uploads at once take %d bytes of heap", many, grown)
	}
	for _, id := range ids {
		if info, err := s.Info(id); err != nil || !info.Complete() {
			t.Fatalf("%+v, %v", info, err)
		}
	}
}

// Nobody else may read what is staged.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no modes")
	}
	dir := filepath.Join(t.TempDir(), "uploads")
	created(t, opened(t, dir, Limits{}), "ann", 1)
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
