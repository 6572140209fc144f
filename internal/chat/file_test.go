package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// hashes are blobs that are kept.
type hashes struct {
	kept   map[string]bool
	during func() // is called while a blob is being removed
	err    error
	// accounts are those whose uploads were removed.
	accounts []string
	busy     int // how often an upload is in use
}

func (h *hashes) Delete(ctx context.Context, hash string, unused func(context.Context) (bool, error)) error {
	if h.during != nil {
		h.during()
	}
	is, err := unused(ctx)
	if err != nil || !is {
		return err
	}
	if h.err != nil {
		return h.err
	}
	delete(h.kept, hash)
	return nil
}

func (h *hashes) DeleteUploads(account string) error {
	h.accounts = append(h.accounts, account)
	if h.busy > 0 {
		h.busy--
		return ErrUploading
	}
	return nil
}

// upload registers a file of somebody.
func (w *town) upload(name, file string, size int64) string {
	w.t.Helper()
	f, err := w.user(name).AddFile(w.t.Context(), Upload{Name: file, Size: size, Type: "image/png", Width: 3, Height: 4, Hash: hashOf(file)})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

func hashOf(file string) string { return fmt.Sprintf("%064x", file) }

// postFiles posts a message with files and returns its seq.
func (w *town) postFiles(name, room string, id kaban.MessageID, content string, files ...string) (Receipt, error) {
	receipt, _, err := w.user(name).PostFiles(w.t.Context(), storetest.RoomName(w.t, room), id, content, 0, files)
	return receipt, err
}

func (w *town) sweep(b *hashes) {
	w.t.Helper()
	if eraser, ok := w.store.(store.Eraser); ok {
		if err := eraser.Erase(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.chat.sweepFiles(w.t.Context(), b, 0); err != nil {
		w.t.Fatal(err)
	}
}

// mayHave checks for some people whether they may have a file.
func (w *town) mayHave(when, id string, want map[string]bool) {
	w.t.Helper()
	for name, may := range want {
		f, err := w.user(name).File(w.t.Context(), id)
		if may && (err != nil || f.ID != id) || !may && !errors.Is(err, ErrNoFile) {
			w.t.Errorf("%s: %s gets %+v, %v; want %t", when, name, f, err, may)
		}
	}
}

func TestFilesOfMessages(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "plans", kaban.RoomPrivate)
		w.create("ann", "hall", kaban.RoomPublic)
		if err := w.do("ann", "hall", w.to("bob", access.Invite)); err != nil {
			t.Fatal(err)
		}
		cat, secret := w.upload("ann", "cat.png", 10), w.upload("ann", "secret.png", 5)
		all := func(may bool) map[string]bool { return map[string]bool{"ann": may, "bob": may, "olga": may} }
		w.mayHave("loose", cat, map[string]bool{"ann": true, "bob": false, "olga": false})
		w.mayHave("unknown", strings.Repeat("a", 26), all(false))
		id := w.id()
		first, err := w.postFiles("ann", "hall", id, "", cat)
		if err != nil || first.Duplicate {
			t.Fatalf("a message with a file and no text: %+v, %v", first, err)
		}
		if again, err := w.postFiles("ann", "hall", id, "", cat); err != nil || !again.Duplicate || again.Seq != first.Seq {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		for what, post := range map[string]func() (Receipt, error){
			"a file that another message has": func() (Receipt, error) { return w.postFiles("ann", "hall", w.id(), "x", secret, cat) },
			"a file of somebody else":         func() (Receipt, error) { return w.postFiles("bob", "hall", w.id(), "x", secret) },
			"a file that there is not":        func() (Receipt, error) { return w.postFiles("ann", "hall", w.id(), "x", strings.Repeat("b", 26)) },
		} {
			if got, err := post(); !errors.Is(err, ErrNoFile) {
				t.Errorf("%s: %+v, %v; want %v", what, got, err, ErrNoFile)
			}
		}
		if got, err := w.postFiles("ann", "hall", id, "", secret); !errors.Is(err, ErrIDConflict) {
			t.Errorf("the id with another file: %+v, %v", got, err)
		}
		w.mayHave("still loose", secret, map[string]bool{"ann": true, "bob": false})
		if _, err := w.postFiles("ann", "plans", w.id(), "look", secret); err != nil {
			t.Fatal(err)
		}
		w.mayHave("in the lobby", cat, all(true))
		w.mayHave("in a private room", secret, map[string]bool{"ann": true, "bob": false, "olga": false})
		if _, _, err := w.user("ann").Change(t.Context(), storetest.RoomName(t, "hall"), w.id(), Change{Kind: kaban.KindDelete, Target: first.Seq}); err != nil {
			t.Fatal(err)
		}
		w.mayHave("deleted", cat, all(false))
		b := &hashes{kept: map[string]bool{hashOf("cat.png"): true, hashOf("secret.png"): true}}
		w.sweep(b)
		if b.kept[hashOf("cat.png")] || !b.kept[hashOf("secret.png")] {
			t.Errorf("after the sweep there are %v", b.kept)
		}
		w.mayHave("swept", cat, all(false))
		w.used("ann", 5)
		w.used(people.ServerUsage, 5)
		if again, err := w.postFiles("ann", "hall", id, "", cat); err != nil || !again.Duplicate || again.Seq != first.Seq {
			t.Errorf("a message that is gone, again: %+v, %v", again, err)
		}
	})
}

// used checks how many bytes an account, or the server, has.
func (w *town) used(account string, want int64) {
	w.t.Helper()
	if account != people.ServerUsage {
		account = "id-" + account
	}
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		u, err := people.Usages.Of(tx, account)
		if u.Bytes != want {
			w.t.Errorf("%s has %+v, want %d bytes", account, u, want)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Who joins later sees no file of before, where that is hidden, and nobody that is banned sees any.
func TestFilesFollowTheRightsOfTheRoom(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "plans", kaban.RoomPrivate)
		if err := w.do("ann", "plans", Act{Change: people.RoomChange{History: people.HistoryJoined}}); err != nil {
			t.Fatal(err)
		}
		before := w.upload("ann", "before.png", 1)
		if _, err := w.postFiles("ann", "plans", w.id(), "x", before); err != nil {
			t.Fatal(err)
		}
		if err := w.do("ann", "plans", w.to("bob", access.Invite)); err != nil {
			t.Fatal(err)
		}
		after := w.upload("bob", "after.png", 1)
		if _, err := w.postFiles("bob", "plans", w.id(), "x", after); err != nil {
			t.Fatal(err)
		}
		w.mayHave("before", before, map[string]bool{"ann": true, "bob": false, "cat": false})
		w.mayHave("after", after, map[string]bool{"ann": true, "bob": true, "cat": false})
		if err := w.do("ann", "plans", w.to("bob", access.Ban)); err != nil {
			t.Fatal(err)
		}
		w.mayHave("banned", after, map[string]bool{"ann": true, "bob": false})
	})
}

func TestUploadsAreBounded(t *testing.T) {
	w := newTown(t, memory.New(0))
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(people.Settings.Put(tx, &people.Setting{Key: people.SettingFileSize, Value: "2KB"}),
			people.Settings.Put(tx, &people.Setting{Key: people.SettingFileQuota, Value: "5KB"}),
			people.Settings.Put(tx, &people.Setting{Key: people.SettingServerQuota, Value: "7KB"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	add := func(u User, file string, size int64) error {
		_, err := u.AddFile(t.Context(), Upload{Name: file, Size: size, Type: "text/plain", Hash: hashOf(file)})
		if may := u.MayUpload(t.Context(), size); err != nil && fmt.Sprintf("%T", may) != fmt.Sprintf("%T", err) {
			t.Errorf("MayUpload says %v, and AddFile %v", may, err)
		}
		return err
	}
	if err := add(w.user("ann"), "a", 2001); err == nil || *err.(*FileTooLargeError) != (FileTooLargeError{2001, 2000}) {
		t.Errorf("too large: %v", err)
	}
	for i := range 2 {
		w.upload("ann", fmt.Sprint("a", i), 2000)
	}
	if err := add(w.user("ann"), "b", 1001); err == nil || *err.(*QuotaError) != (QuotaError{false, 1001, 4000, 5000}) {
		t.Errorf("beyond the quota: %v", err)
	}
	w.upload("ann", "b", 1000)
	w.upload("bob", "c", 1500)
	if err := add(w.user("bob"), "d", 501); err == nil || *err.(*QuotaError) != (QuotaError{true, 501, 6500, 7000}) {
		t.Errorf("beyond the quota of the server: %v", err)
	}
	w.upload("bob", "a0", 2000) // these bytes are there
	w.used("bob", 3500)
	w.used(people.ServerUsage, 6500)
	if err := add(w.visitor("vic", netip.Addr{}), "e", 1); !errors.Is(err, ErrAuthRequired) {
		t.Errorf("a visitor: %v, want %v", err, ErrAuthRequired)
	}
	if _, err := w.user("ann").AddFile(t.Context(), Upload{Name: "a\nb", Type: "x", Hash: "y"}); !errors.Is(err, kaban.ErrFiles) {
		t.Errorf("a bad name: %v, want %v", err, kaban.ErrFiles)
	}
}

// What no message has claimed goes after a day; bytes that somebody adds again meanwhile stay.
func TestLooseFilesGo(t *testing.T) {
	w := newTown(t, memory.New(0))
	old, young := w.upload("ann", "old", 1), w.upload("ann", "young", 2)
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		f, err := people.Files.Get(tx, old)
		f.Time -= keepLoose + 1
		return errors.Join(err, people.Files.Put(tx, &f))
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &hashes{kept: map[string]bool{hashOf("old"): true, hashOf("young"): true}}
	again := ""
	b.during = func() { again, b.during = w.upload("bob", "old", 1), nil }
	w.sweep(b)
	w.mayHave("after a day", old, map[string]bool{"ann": false})
	w.mayHave("young", young, map[string]bool{"ann": true})
	w.mayHave("added again", again, map[string]bool{"bob": true})
	if len(b.kept) != 2 {
		t.Errorf("%v are kept, want both", b.kept)
	}
	// What cannot be removed is removed later.
	err = w.store.Update(t.Context(), func(tx store.Tx) error { return people.Files.Remove(tx, again) })
	if err != nil {
		t.Fatal(err)
	}
	b.err = errors.New("the disk fails")
	if err := w.chat.sweepFiles(t.Context(), b, 0); !errors.Is(err, b.err) {
		t.Errorf("the sweep: %v, want %v", err, b.err)
	}
	w.used(people.ServerUsage, 3)
	b.err = nil
	w.sweep(b)
	w.used(people.ServerUsage, 2)
	if len(b.kept) != 1 || !b.kept[hashOf("young")] {
		t.Errorf("%v are kept, want the young one", b.kept)
	}
}

// A clock that jumps a day ahead removes no file that waits for its message, nor does one that jumps back. A
// clock that stays ahead is believed after a day.
func TestLooseFilesWhileTheClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		defer w.chat.Close()
		b := &hashes{kept: make(map[string]bool)}
		sweep := func(passed time.Duration) {
			t.Helper()
			if err := w.chat.sweepFiles(t.Context(), b, passed.Milliseconds()); err != nil {
				t.Fatal(err)
			}
		}
		sweep(0)
		before := w.upload("ann", "before", 1)
		time.Sleep(25 * time.Hour) // the clock is set, and nothing has run so long
		sweep(time.Minute)
		w.mayHave("a clock that is ahead", before, map[string]bool{"ann": true})
		during := w.upload("ann", "during", 1)
		back := people.Clock{Name: clockOfFiles, Time: time.Now().Add(25 * time.Hour).UnixMilli()} // as if it had been ahead, and believed
		if err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Clocks.Put(tx, &back) }); err != nil {
			t.Fatal(err)
		}
		sweep(time.Minute)
		w.mayHave("a clock that is set back", during, map[string]bool{"ann": true})
		w.mayHave("a clock that is set back, to now", before, map[string]bool{"ann": false})

		ahead := w.upload("ann", "ahead", 1)
		time.Sleep(25 * time.Hour)
		for range 24 * 60 { // it runs on so long
			sweep(time.Minute)
		}
		w.mayHave("a clock that was right", ahead, map[string]bool{"ann": false})
	})
}

// However much there is to let go of, nothing is left in the end.
func TestTheSweeperLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		defer w.chat.Close()
		const steps = 3
		b := &hashes{kept: make(map[string]bool)}
		for i := range steps * sweepStep {
			name := fmt.Sprint("file", i)
			id := w.upload("ann", name, 1)
			b.kept[hashOf(name)] = true
			if err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Files.Remove(tx, id) }); err != nil {
				t.Fatal(err)
			}
		}
		w.sweep(b)
		if len(b.kept) != 0 {
			t.Errorf("%d blobs are left", len(b.kept))
		}
		w.used(people.ServerUsage, 0)
	})
}

// A message with files that goes has the sweeper look soon, and nothing else does.
func TestDeletionsWakeTheSweeper(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "hall", kaban.RoomPublic)
	woken := func() bool {
		select {
		case <-w.chat.releases:
			return true
		default:
			return false
		}
	}
	post := func(files ...string) uint64 {
		t.Helper()
		receipt, err := w.postFiles("ann", "hall", w.id(), "x", files...)
		if err != nil {
			t.Fatal(err)
		}
		return receipt.Seq
	}
	remove := func(by string, seq uint64) error {
		_, _, err := w.user(by).Change(t.Context(), storetest.RoomName(t, "hall"), w.id(), Change{Kind: kaban.KindDelete, Target: seq})
		return err
	}
	plain, first, second := post(), post(w.upload("ann", "a.png", 1)), post(w.upload("ann", "b.png", 1))
	if err := remove("ann", plain); err != nil || woken() {
		t.Errorf("a message without files woke the sweeper, %v", err)
	}
	if err := remove("bob", first); err == nil || woken() {
		t.Errorf("a refused deletion woke the sweeper, %v", err)
	}
	if err := errors.Join(remove("ann", first), remove("ann", second)); err != nil || !woken() {
		t.Errorf("deletions did not wake the sweeper, %v", err)
	}
	if woken() {
		t.Error("two deletions woke it twice")
	}
}

// The sweeper looks at most every ten seconds, however much is deleted.
func TestSweeperIsWoken(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.chat.blobs = &hashes{}
	synctest.Test(t, func(t *testing.T) {
		releases := make(chan struct{}, 1)
		w.chat.releases = releases
		var looks []time.Duration
		begun := time.Now()
		w.chat.elapsed = func() time.Duration {
			looks = append(looks, time.Since(begun))
			return time.Since(begun)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan struct{})
		go func() {
			defer close(over)
			w.chat.SweepFiles(ctx, func(err error) { t.Error(err) })
		}()
		time.Sleep(5 * time.Second)
		for range 100 { // for 10 seconds
			w.chat.releasing()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(100 * time.Second)
		cancel()
		<-over
		want := []time.Duration{0, 15 * time.Second, 25 * time.Second, 85 * time.Second}
		if len(looks) > len(want) {
			looks = looks[:len(want)] // the last is that of the end
		}
		if !slices.Equal(looks, want) {
			t.Errorf("it looked after %v, want %v", looks, want)
		}
	})
}

// An erasure that finds an upload in use waits for its end, and logs nothing. Not for ever.
func TestErasingWaitsForUploads(t *testing.T) {
	var log strings.Builder
	e := new(eraser)
	e.init(slog.New(slog.NewTextHandler(&log, nil)))
	for range maxUploading {
		e.note("ann", fmt.Errorf("erase: %w", ErrUploading))
		if failed := e.failing["ann"]; failed == nil || failed.wait != eraseAgain {
			t.Fatalf("it goes on after %+v", failed)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", log.String())
	}
	e.note("ann", nil)
	if log.Len() > 0 || len(e.failing) > 0 {
		t.Errorf("after the upload the log has %q, and %v fails", log.String(), e.failing)
	}
	for range maxUploading + 1 {
		e.note("ann", ErrUploading)
	}
	if said := log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, "in use") {
		t.Errorf("after a quarter of an hour the log has %q", said)
	}
	e.note("ann", nil)
	if !strings.Contains(log.String(), "works again") {
		t.Errorf("at the end the log has %q", log.String())
	}
}

// An erasure beside an upload that goes on does everything else at once, and only once.
func TestErasingBesideAnUpload(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		var indexed, recorded int
		w := newTownWith(t, s, Options{
			EraseIndex:   func(context.Context) error { indexed++; return nil },
			RecordErased: func(context.Context, []store.ErasedAccount) error { recorded++; return nil },
		})
		b := &hashes{kept: map[string]bool{hashOf("cat.png"): true}, busy: 2}
		w.chat.blobs = b
		w.upload("ann", "cat.png", 10)
		e := people.Erasure{Account: "id-ann", Version: people.ErasureVersion, Authors: []string{kaban.Account("id-ann", storetest.Username(t, "ann")).ID()}, Deleted: true}
		for n := range 2 {
			if err := w.chat.eraseOne(t.Context(), &e); !errors.Is(err, ErrUploading) || e.Done != 0 {
				t.Fatalf("attempt %d: %v, done at %d", n+1, err, e.Done)
			}
			if len(b.kept) > 0 || indexed != 1 || recorded != 1 {
				t.Errorf("after attempt %d %v are kept, the index was erased %d times, and it was noted %d times", n+1, b.kept, indexed, recorded)
			}
		}
		if err := w.chat.eraseOne(t.Context(), &e); err != nil || e.Done == 0 || indexed != 1 || recorded != 1 || len(w.chat.eraser.ended) > 0 {
			t.Errorf("after the upload: %v, done at %d, %d and %d times; %v", err, e.Done, indexed, recorded, w.chat.eraser.ended)
		}
	})
}

// To rest is to wait for a second at most, however long a step took.
func TestRestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]time.Duration{0: 0, 100 * time.Millisecond: 300 * time.Millisecond, time.Hour: time.Second} {
			begun := time.Now()
			rest(t.Context(), begun.Add(-took))
			if got := time.Since(begun); got != want {
				t.Errorf("after %s it rests for %s, want %s", took, got, want)
			}
		}
	})
}

// A sweep does not rest for the time that bytes take, which hold up nobody.
func TestSweepingSlowBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		defer w.chat.Close()
		b := &hashes{kept: make(map[string]bool)}
		w.sweep(b) // the clock begins
		const n = sweepStep + 1
		for i := range n {
			id := w.upload("ann", fmt.Sprint("file ", i), 1)
			err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Files.Remove(tx, id) })
			if err != nil {
				t.Fatal(err)
			}
		}
		b.during = func() { time.Sleep(time.Minute) }
		begun := time.Now()
		w.sweep(b)
		if got := time.Since(begun); got != n*time.Minute {
			t.Errorf("%d removals of a minute took %s", n, got)
		}
	})
}

// An erasure and the sweeper take turns.
func TestErasingAndSweepingTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		defer w.chat.Close()
		w.chat.blobs = &hashes{kept: make(map[string]bool)}
		id := w.upload("ann", "file", 1)
		w.chat.sweeping <- struct{}{} // a step of the sweeper
		erased := make(chan error, 1)
		go func() { erased <- w.chat.eraseFiles(t.Context(), "id-ann") }()
		synctest.Wait()
		w.mayHave("during the step", id, map[string]bool{"ann": true})
		<-w.chat.sweeping
		if err := <-erased; err != nil {
			t.Error(err)
		}
		w.mayHave("then", id, map[string]bool{"ann": false})
	})
}
