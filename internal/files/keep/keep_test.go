package keep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/picture"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// role makes the test binary the process that encodes a picture.
const role = "TEST_KEEP_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "picture" {
		if err := picture.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// worker returns one whose processes are this program.
func worker(t *testing.T) *picture.Worker {
	t.Helper()
	w := picture.NewWorker(func() (*exec.Cmd, error) {
		c := exec.Command(os.Args[0])
		c.Env = []string{role + "=picture"}
		return c, nil
	}, 10)
	t.Cleanup(w.Close)
	return w
}

// world is a Keeper over a directory, and a chat.
type world struct {
	*testing.T
	store    store.Store
	staging  *upload.Staging
	blobs    files.Store
	keeper   *Keeper
	chat     *chat.Chat
	accounts *account.Service
	owner    chat.User
	ownerID  string
}

// open returns a world over a store of documents and a directory, which may have been used before.
func open(t *testing.T, dir string, documents store.Store, pictures Pictures) *world {
	t.Helper()
	w := &world{T: t, store: documents}
	var err error
	if w.staging, err = upload.Open(upload.Config{Dir: filepath.Join(dir, "uploads"), Limits: upload.DefaultLimits()}); err != nil {
		t.Fatal(err)
	}
	if w.blobs, err = disk.Open(dir); err != nil {
		t.Fatal(err)
	}
	w.keeper = New(Config{Staging: w.staging, Store: w.blobs, Pictures: pictures, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	w.keeper.pause, w.keeper.remakeWait = time.Millisecond, time.Minute
	d, err := dispatch.New(t.Context(), documents, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if w.chat, err = chat.New(context.WithoutCancel(t.Context()), d, chat.Options{Blobs: w.keeper}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.chat.Close()
		d.Close()
		documents.Close()
	})
	w.accounts = account.New(documents, account.Options{OnRevoked: w.chat.Revoke, OnChanged: w.chat.AccountChanged, OnSettings: w.chat.SettingChanged})
	return w
}

func newWorld(t *testing.T, pictures Pictures) *world {
	t.Helper()
	w := open(t, t.TempDir(), memory.New(0), pictures)
	w.claim()
	return w
}

// claim makes an owner, whose uploads these are.
func (w *world) claim() {
	w.Helper()
	secret, err := w.accounts.NewClaim(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	made, err := w.accounts.ClaimServer(w.Context(), secret, account.NewAccount{Username: "olga"}, "open", account.Device{Name: "x"})
	if err != nil {
		w.Fatal(err)
	}
	w.be(&made.Session.Principal.Account)
}

// be makes an account the owner of uploads.
func (w *world) be(a *people.Account) {
	w.Helper()
	id, err := a.Identity()
	if err != nil {
		w.Fatal(err)
	}
	w.owner, w.ownerID = w.chat.With(id, netip.Addr{}, &chat.Credential{ID: "x", Device: true, Fresh: true}), a.ID
}

// upload stages a file and keeps it.
func (w *world) upload(name string, data []byte) (people.File, error) {
	w.Helper()
	info, staged := w.stage(name, data)
	f, err := w.keeper.Keep(w.Context(), w.owner, info, staged)
	if failed := w.staging.Remove(info.ID); failed != nil {
		w.Fatal(failed)
	}
	return f, err
}

func (w *world) stage(name string, data []byte) (upload.Info, files.Staged) {
	w.Helper()
	info, staged, err := w.staging.Take(w.Context(), upload.Draft{Owner: w.ownerID, Length: upload.Unknown, Name: name}, bytes.NewReader(data))
	if err != nil {
		w.Fatal(err)
	}
	return info, staged
}

// kept returns the bytes of a file.
func (w *world) kept(f *people.File) []byte {
	w.Helper()
	r, _, err := w.keeper.Open(w.Context(), f)
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		w.Fatal(err)
	}
	return data
}

// all returns the paths of all blobs.
func (w *world) all() (paths []string) {
	w.Helper()
	for _, kind := range files.Kinds {
		for info, err := range w.blobs.All(w.Context(), kind) {
			if err != nil {
				w.Fatal(err)
			}
			paths = append(paths, info.Key.Path())
		}
	}
	return paths
}

// used returns how many bytes and files an account, or the server, has.
func (w *world) used(account string) (u people.Usage) {
	w.Helper()
	err := w.store.View(w.Context(), func(tx store.Tx) (err error) {
		u, err = people.Usages.Of(tx, account)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// set changes a setting.
func (w *world) set(key, value string) {
	w.Helper()
	err := w.store.Update(w.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: key, Value: value})
	})
	if err != nil {
		w.Fatal(err)
	}
}

// place is what a picture says of where it was taken.
const place = "Mirabellplatz 4"

// pictureOf returns a PNG of some size that says where it was taken.
func pictureOf(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return withText(b.Bytes())
}

// withText adds a chunk to a PNG, behind its header.
func withText(data []byte) []byte {
	const header = 8 + 25
	return slices.Concat(data[:header], chunk("tEXt", "Location\x00"+place), data[header:])
}

// A picture is kept as it was encoded here: it does not say where it was taken, and has a thumbnail.
func TestPictures(t *testing.T) {
	w := newWorld(t, worker(t))
	source := pictureOf(t, 1000, 80)
	f, err := w.upload("Holiday.png", source)
	if err != nil {
		t.Fatal(err)
	}
	data := w.kept(&f)
	if f.Width != 1000 || f.Height != 80 || f.Type != "image/png" || f.Name != "Holiday.png" || f.Size != int64(len(data)) || f.Owner != w.ownerID {
		t.Errorf("the file is %+v", f)
	}
	if bytes.Contains(data, []byte(place)) || !bytes.Contains(source, []byte(place)) {
		t.Error("the picture says where it was taken")
	}
	thumb, served, err := w.keeper.OpenThumbnail(t.Context(), &f)
	if err != nil {
		t.Fatal(err)
	}
	defer thumb.Close()
	config, format, err := image.DecodeConfig(thumb)
	if err != nil || config.Width != 720 || served.Type != "image/"+format || !served.Encoded || served.Key.Kind != files.Thumbnail {
		t.Errorf("the thumbnail is %+v, %v, served as %+v", config, err, served)
	}
	if got := len(w.all()); got != 2 {
		t.Errorf("there are %d blobs: %v", got, w.all())
	}
	// A small one is its own.
	small, err := w.upload("dot.png", pictureOf(t, 20, 10))
	if err != nil {
		t.Fatal(err)
	}
	own, served, err := w.keeper.OpenThumbnail(t.Context(), &small)
	if err != nil || served.Key.Kind != files.Content || small.Width != 20 {
		t.Fatalf("the thumbnail of %+v: %+v, %v", small, served, err)
	}
	own.Close()
}

// A thumbnail that the store has lost is made anew when somebody asks for it, and nothing is left over.
func TestALostThumbnailIsMadeAnew(t *testing.T) {
	w := newWorld(t, worker(t))
	f, err := w.upload("x.png", pictureOf(t, 1000, 80))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyOf(&f, files.Thumbnail)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (string, files.Kind) {
		t.Helper()
		thumb, served, err := w.keeper.OpenThumbnail(t.Context(), &f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(thumb)
		if err := errors.Join(err, thumb.Close()); err != nil {
			t.Fatal(err)
		}
		return string(text), served.Key.Kind
	}
	before, _ := read()
	if err := w.blobs.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if after, kind := read(); after != before || kind != files.Thumbnail {
		t.Errorf("%d bytes of kind %d are served, and there were %d", len(after), kind, len(before))
	}
	if got := len(w.all()); got != 2 {
		t.Errorf("there are %d blobs: %v", got, w.all())
	}
	entries, err := os.ReadDir(filepath.Dir(w.staging.Beside("x", upload.Picture)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".data") || strings.HasSuffix(e.Name(), string(upload.Picture)) || strings.HasSuffix(e.Name(), string(upload.Thumbnail)) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// lost returns a picture whose thumbnail the store has lost, and the key of that. Pictures are made as a test says
// from then on.
func (w *world) lost(p Pictures) (f people.File, key files.Key) {
	w.Helper()
	f, err := w.upload("x.png", pictureOf(w.T, 1000, 80))
	if err == nil {
		key, err = keyOf(&f, files.Thumbnail)
	}
	if err == nil {
		err = w.blobs.Remove(w.Context(), key)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.keeper.pictures = p
	return f, key
}

// A picture is shown itself while its thumbnail cannot be made. If that is because of the picture, it is tried once;
// otherwise again after a pause.
func TestAThumbnailThatCannotBeMade(t *testing.T) {
	failure := func(f picture.Failure) error { return &picture.ProcessError{Failure: f, Err: errors.New("none")} }
	for name, c := range map[string]struct {
		err   error
		tries int // after two requests without a pause between them
	}{
		"refused":      {&picture.RefusedError{Reason: picture.Unknown}, 1},
		"none":         {nil, 1},
		"garbled":      {failure(picture.Garbled), 1},
		"crashed":      {failure(picture.Crashed), 1},
		"no memory":    {failure(picture.NoMemory), 2},
		"killed":       {failure(picture.Killed), 2},
		"hung":         {failure(picture.Hung), 2},
		"not started":  {failure(picture.NotStarted), 2},
		"disk":         {failure(picture.Disk), 2},
		"busy":         {picture.ErrBusy, 2},
		"not restored": {files.ErrNotFound, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worker(t))
			times := 99
			if c.err == nil {
				times = 0 // it makes a picture without a thumbnail
			}
			p, tries := failing(times, c.err)
			f, _ := w.lost(p)
			show := func(what string, tried int) {
				t.Helper()
				own, served, err := w.keeper.OpenThumbnail(t.Context(), &f)
				w.keeper.remakes.Wait()
				if err != nil || served.Key.Kind != files.Content || *tries != tried {
					t.Fatalf("%s: served %+v, %v, after %d tries", what, served, err, *tries)
				}
				own.Close()
			}
			w.keeper.isRemaking = true
			show("while another one is made", 0)
			w.keeper.isRemaking = false
			show("the first time", 1)
			w.keeper.remakePause = 0
			show("in the pause", 1)
			clear(w.keeper.failed)
			show("after it", 2)
			show("then", 1+c.tries)
			w.keeper.Close()
			clear(w.keeper.failed)
			show("after the end", 1+c.tries)
		})
	}
}

// While a thumbnail is made, its picture can be deleted, and then nothing of it is left.
func TestAThumbnailOfADeletedPicture(t *testing.T) {
	w := newWorld(t, worker(t))
	encoder, tries := w.keeper.pictures, 0
	var f people.File
	f, _ = w.lost(pictures(func(job picture.Job) (picture.Made, error) {
		tries++
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.keeper.Delete(ctx, f.Hash, func(context.Context) (bool, error) { return true, nil }); err != nil {
			t.Errorf("delete: %v", err)
		}
		return encoder.Make(ctx, job)
	}))
	if _, _, err := w.keeper.OpenThumbnail(t.Context(), &f); !errors.Is(err, files.ErrNotFound) {
		t.Errorf("the thumbnail: %v", err)
	}
	w.keeper.Close()
	if got := w.all(); tries != 1 || len(got) != 0 {
		t.Errorf("%v are left, after %d tries", got, tries)
	}
}

// A thumbnail is made also if nobody waits for it any more.
func TestAThumbnailThatNobodyWaitsFor(t *testing.T) {
	w := newWorld(t, worker(t))
	encoder, release := w.keeper.pictures, make(chan struct{})
	f, key := w.lost(pictures(func(job picture.Job) (picture.Made, error) {
		<-release
		return encoder.Make(t.Context(), job)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.keeper.remake(ctx, &f, key) {
		t.Error("it was waited for")
	}
	close(release)
	w.keeper.remakes.Wait()
	if err := w.keeper.has(t.Context(), key); err != nil {
		t.Error(err)
	}
}

// A panic while a thumbnail is made ends nothing but that, and it is tried again.
func TestAPanicWhileAThumbnailIsMade(t *testing.T) {
	w := newWorld(t, worker(t))
	tries := 0
	f, _ := w.lost(pictures(func(picture.Job) (picture.Made, error) {
		tries++
		panic("a fault")
	}))
	w.keeper.remakePause = 0
	for range 2 {
		own, served, err := w.keeper.OpenThumbnail(t.Context(), &f)
		w.keeper.remakes.Wait()
		if err != nil || served.Key.Kind != files.Content {
			t.Fatalf("served %+v, %v", served, err)
		}
		own.Close()
	}
	if tries != 2 {
		t.Errorf("it was tried %d times, want 2", tries)
	}
}

// Whatever is no picture that can be shown is kept as it came, has no thumbnail, and is none.
func TestPlainFiles(t *testing.T) {
	w := newWorld(t, worker(t))
	for name, c := range map[string]struct{ data, contentType string }{
		"x.svg":  {`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "image/svg+xml"},
		"x.html": {"<!DOCTYPE html><script>alert(1)</script>", "text/html"},
		"x.pdf":  {"%PDF-1.7\n", "application/pdf"},
		"x.txt":  {"hello", "text/plain; charset=utf-8"},
		"empty":  {"", "text/plain; charset=utf-8"},
		"x.zip":  {"PK\x03\x04", "application/zip"},
	} {
		f, err := w.upload(name, []byte(c.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(w.kept(&f)); got != c.data || f.Type != c.contentType || f.Width != 0 {
			t.Errorf("%s is %+v with %q", name, f, got)
		}
		if _, _, err := w.keeper.OpenThumbnail(t.Context(), &f); !errors.Is(err, ErrNoThumbnail) {
			t.Errorf("%s has a thumbnail: %v", name, err)
		}
		if _, served, _ := w.keeper.Open(t.Context(), &f); files.TreatmentOf(served.Type, served.Encoded) == files.Show {
			t.Errorf("%s would be shown", name)
		}
	}
}

// pictures are what a test says.
type pictures func(picture.Job) (picture.Made, error)

func (p pictures) Make(_ context.Context, job picture.Job) (picture.Made, error) { return p(job) }

// failing returns an error for a number of times, and then makes a JPEG.
func failing(times int, err error) (p pictures, tries *int) {
	tries = new(int)
	return func(job picture.Job) (picture.Made, error) {
		if *tries++; *tries <= times {
			return picture.Made{}, err
		}
		if err := os.WriteFile(job.Picture, []byte("made"), 0o600); err != nil {
			return picture.Made{}, err
		}
		return picture.Made{Picture: picture.Rendition{Type: picture.JPEG, Width: 3, Height: 4, Size: 4}, Frames: 1}, nil
	}, tries
}

// A picture is tried again where the machine has no memory, and is not kept where nobody knows.
func TestPicturesThatFail(t *testing.T) {
	webp := append([]byte("RIFF\x10\x00\x00\x00WEBPVP8 "), make([]byte, 8)...)
	noMemory := &picture.ProcessError{Failure: picture.NoMemory, Err: errors.New("x")}
	for name, c := range map[string]struct {
		times int
		err   error
		want  error
		tries int
	}{
		"made at once":      {0, nil, nil, 1},
		"no memory at once": {memoryTries - 1, noMemory, nil, memoryTries},
		"no memory":         {99, noMemory, ErrPicture, memoryTries},
		"killed":            {99, &picture.ProcessError{Failure: picture.Killed, Err: errors.New("x")}, ErrPicture, 1},
		"busy":              {99, picture.ErrBusy, ErrPicture, 1},
		"closed":            {99, picture.ErrClosed, ErrPicture, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, tries := failing(c.times, c.err)
			w := newWorld(t, p)
			f, err := w.upload("photo.WebP", webp)
			if !errors.Is(err, c.want) || *tries != c.tries {
				t.Fatalf("%v after %d tries, want %v after %d", err, *tries, c.want, c.tries)
			}
			if c.want != nil {
				if len(w.all()) != 0 || w.used(w.ownerID).Files != 0 {
					t.Errorf("there are %v, and %+v", w.all(), w.used(w.ownerID))
				}
				return
			}
			if string(w.kept(&f)) != "made" || f.Name != "photo.jpg" || f.Type != "image/jpeg" || f.Width != 3 || f.Height != 4 {
				t.Errorf("the file is %+v", f)
			}
		})
	}
}

// An upload becomes one file, also if that is done again, and if it is encoded otherwise then.
func TestAgain(t *testing.T) {
	text := "made"
	w := newWorld(t, pictures(func(job picture.Job) (picture.Made, error) {
		err := os.WriteFile(job.Picture+picture.Partial, []byte(text), 0o600)
		if err == nil {
			err = os.Rename(job.Picture+picture.Partial, job.Picture) // as a Worker does: the blob may be the former file
		}
		return picture.Made{Picture: picture.Rendition{Type: picture.PNG, Width: 3, Height: 4, Size: int64(len(text))}, Frames: 1}, err
	}))
	info, staged := w.stage("a.png", pictureOf(t, 2, 2))
	first, err := w.keeper.Keep(t.Context(), w.owner, info, staged)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []string{"made", "made by another version"} {
		text = now
		again, err := w.keeper.Keep(t.Context(), w.owner, info, staged)
		if err != nil || again != first {
			t.Errorf("again it is %+v, %v; want %+v", again, err, first)
		}
	}
	if u := w.used(w.ownerID); u.Files != 1 || len(w.all()) != 1 || string(w.kept(&first)) != "made" {
		t.Errorf("there are %+v and %v", u, w.all())
	}
	other, staged := w.stage("a.png", pictureOf(t, 2, 2))
	if f, err := w.keeper.Keep(t.Context(), w.owner, other, staged); err != nil || f.ID == first.ID || f.ID != FileID(other.ID) {
		t.Errorf("another upload is %+v, %v", f, err)
	}
}

// Nothing is left of what the account may not keep.
func TestRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.set(people.SettingFileQuota, "1KB")
	if _, err := w.upload("a", make([]byte, 900)); err != nil {
		t.Fatal(err)
	}
	_, err := w.upload("b", make([]byte, 901))
	if _, ok := errors.AsType[*chat.QuotaError](err); !ok {
		t.Fatalf("got %v, want a *chat.QuotaError", err)
	}
	if len(w.all()) != 1 || w.used(people.ServerUsage).Bytes != 900 {
		t.Errorf("there are %v, %+v", w.all(), w.used(people.ServerUsage))
	}
	// What is refused goes only if nobody else has it.
	_, err = w.upload("c", make([]byte, 900))
	if _, ok := errors.AsType[*chat.QuotaError](err); !ok || len(w.all()) != 1 {
		t.Errorf("the same bytes: %v, there are %v", err, w.all())
	}
}

// Bytes that no file ever had are found and removed; others stay.
func TestSweep(t *testing.T) {
	w := newWorld(t, worker(t))
	f, err := w.upload("a.png", pictureOf(t, 1000, 80))
	if err != nil {
		t.Fatal(err)
	}
	before := w.all()
	_, stray := w.stage("stray", []byte("stray"))
	for _, kind := range files.Kinds {
		if err := w.blobs.Add(t.Context(), files.Key{Kind: kind, Hash: stray.Sum}, stray); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.keeper.Sweep(t.Context(), w.chat.SweepBlob); err != nil {
		t.Fatal(err)
	}
	if got := w.all(); !slices.Equal(got, before) || len(w.kept(&f)) == 0 {
		t.Errorf("there are %v, want %v", got, before)
	}
}

// Bytes that another process may be about to make a file of are left to it for an hour.
func TestSweepSparesOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10
		k := New(Config{Store: many{n: n, time: time.Now()}, Shared: true})
		defer k.Close()
		for i, want := range []int{0, n} {
			seen := 0
			err := k.Sweep(t.Context(), func(context.Context, string) error {
				seen++
				return nil
			})
			if err != nil || seen != want {
				t.Errorf("sweep %d looked at %d, %v, want %d", i, seen, err, want)
			}
			time.Sleep(keptWithin)
		}
	})
}

// Of the same bytes from many, there is one blob, whoever refuses or removes them meanwhile.
func TestSameBytesAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	const n = 12
	var group sync.WaitGroup
	ids := make([]string, n)
	for i := range n {
		info, staged := w.stage("same", []byte("the same bytes"))
		group.Go(func() {
			f, err := w.keeper.Keep(t.Context(), w.owner, info, staged)
			if err != nil {
				t.Error(err)
			}
			ids[i] = f.ID
		})
		group.Go(func() {
			if err := w.keeper.Sweep(t.Context(), w.chat.SweepBlob); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	slices.Sort(ids)
	if got := slices.Compact(ids); len(got) != n {
		t.Errorf("there are %d ids, want %d", len(got), n)
	}
	if u, server := w.used(w.ownerID), w.used(people.ServerUsage); u.Files != n || server.Files != 1 || len(w.all()) != 1 {
		t.Errorf("the account has %+v, the server %+v, in %v", u, server, w.all())
	}
}

// The uploads of an account go with it, and no others.
func TestDeleteUploads(t *testing.T) {
	w := newWorld(t, nil)
	mine, _ := w.stage("mine", []byte("x"))
	settled, _ := w.stage("settled", []byte("x"))
	if err := w.staging.Settle(settled.ID, map[string]string{"Kaban-Name": "settled"}); err != nil {
		t.Fatal(err)
	}
	other, err := w.staging.Create(upload.Draft{Owner: "another", Length: 5, Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keeper.DeleteUploads(w.ownerID); err != nil {
		t.Fatal(err)
	}
	left := make(map[string]bool)
	for _, info := range w.staging.All() {
		left[info.ID] = true
	}
	if !maps.Equal(left, map[string]bool{other.ID: true}) {
		t.Errorf("left are %v of %s, %s, %s", left, mine.ID, settled.ID, other.ID)
	}
	// One in use says so, and keeps nothing else back.
	used, _ := w.stage("used", []byte("x"))
	free, _ := w.stage("free", []byte("x"))
	_, err = w.staging.Deliver(t.Context(), used.ID, func(upload.Info, files.Staged) (map[string]string, error) {
		if err := w.keeper.DeleteUploads(w.ownerID); !errors.Is(err, chat.ErrUploading) || strings.Contains(err.Error(), used.ID) {
			t.Errorf("an upload in use: %v, want %v", err, chat.ErrUploading)
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.staging.Info(free.ID); !errors.Is(err, upload.ErrNotFound) {
		t.Errorf("an upload beside it: %v", err)
	}
}

// many are blobs of a store that has nothing else.
type many struct {
	files.Store
	n    int
	time time.Time // when they were added
}

func (m many) Tidy(context.Context) (int, error) { return 0, nil }

func (m many) All(_ context.Context, kind files.Kind) iter.Seq2[files.Info, error] {
	return func(yield func(files.Info, error) bool) {
		for i := range m.n {
			key := files.Key{Kind: kind, Hash: files.Hash{byte(i), byte(i >> 8), byte(i >> 16)}}
			if kind == files.Content && !yield(files.Info{Key: key, Time: m.time}, nil) {
				return
			}
		}
	}
}

// Looking for what crashes have left leaves time for others, however many files there are, and
// ends with the server.
func TestSweepPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100_000
		k := New(Config{Store: many{n: n}})
		seen, atOnce, most, last := 0, 0, 0, time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		look := func(context.Context, string) error {
			if now := time.Now(); now != last {
				last, atOnce = now, 0
			}
			seen++
			atOnce++
			most = max(most, atOnce)
			return nil
		}
		begun := time.Now()
		if err := k.Sweep(ctx, look); err != nil || seen != n {
			t.Errorf("%d were looked at, %v", seen, err)
		}
		if took := time.Since(begun); most > 50 || took > 5*time.Minute {
			t.Errorf("%d were looked at without a pause, and the pauses took %s", most, took)
		}
		seen = 0
		err := k.Sweep(ctx, func(context.Context, string) error {
			seen++
			cancel()
			return nil
		})
		if seen > 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("after the end %d were looked at, %v", seen, err)
		}
	})
}

// Ids of files are as good as links, so no error has one.
func TestErrorsHaveNoIDs(t *testing.T) {
	w := newWorld(t, nil)
	f := people.File{ID: strings.Repeat("q", kaban.FileIDLength), Hash: "none", Width: 1}
	_, _, err := w.keeper.Open(t.Context(), &f)
	_, _, small := w.keeper.OpenThumbnail(t.Context(), &f)
	if err = errors.Join(err, small); err == nil || strings.Contains(err.Error(), f.ID) {
		t.Errorf("the errors are %v", err)
	}
}

func TestAlt(t *testing.T) {
	for alt, want := range map[string]string{"": "", "a\u202e \u2066cat": "a cat", " a\n cat\t": "a cat", strings.Repeat("ä", 500): strings.Repeat("ä", 500)} {
		if got := CleanAlt(alt); got != want || CheckAlt(alt) != nil {
			t.Errorf("%q becomes %q, %v", alt, got, CheckAlt(alt))
		}
	}
	for _, alt := range []string{"\x00", "a\x1b[31m", strings.Repeat("ä", 501), "\xff"} {
		if CheckAlt(alt) == nil {
			t.Errorf("%q is taken", alt)
		}
	}
}

// chunk returns a chunk of a PNG.
func chunk(kind, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// A picture that cannot be shown is a plain file, and does not say where it was taken.
func TestStripped(t *testing.T) {
	refused := &picture.RefusedError{Reason: picture.TooLarge}
	w := newWorld(t, pictures(func(picture.Job) (picture.Made, error) { return picture.Made{}, refused }))
	source := pictureOf(t, 20, 10)
	for range 2 { // the second finds the blob, and the copy of an upload that was tried before
		info, staged := w.stage("a.png", source)
		for range 2 {
			f, err := w.keeper.Keep(t.Context(), w.owner, info, staged)
			if err != nil {
				t.Fatal(err)
			}
			data := w.kept(&f)
			if m, err := png.Decode(bytes.NewReader(data)); err != nil || m.Bounds().Dx() != 20 || bytes.Contains(data, []byte(place)) {
				t.Errorf("%d bytes are kept: %v", len(data), err)
			}
			if f.Width != 0 || f.Type != "image/png" || f.Size != int64(len(data)) {
				t.Errorf("the file is %+v", f)
			}
		}
	}
	if len(w.all()) != 1 {
		t.Errorf("there are %v", w.all())
	}
	// Nobody knows what a picture says whose structure makes no sense.
	if _, err := w.upload("x.png", source[:20]); !errors.Is(err, ErrBadPicture) {
		t.Errorf("a broken picture: %v", err)
	}
	if len(w.all()) != 1 || w.used(w.ownerID).Files != 2 {
		t.Errorf("there are %v, %+v", w.all(), w.used(w.ownerID))
	}
}
