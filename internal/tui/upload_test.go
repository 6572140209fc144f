package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// sender returns a client that may send files.
func sender(t *testing.T) *desk {
	t.Helper()
	d := newMember(t, kaban.RoleMember, stateOf("lobby", kaban.RoomPublic, kaban.RoomRoleMember, 3, 3), stateOf("ops", kaban.RoomPublic, kaban.RoomRoleMember, 0, 0))
	d.enter(d.room("lobby"))
	d.options.Upload = func(context.Context, string, string, string, func(int64, int64)) (kaban.File, error) {
		panic("not here")
	}
	d.options.Download = func(context.Context, string, string, kaban.File) (string, error) { panic("not here") }
	return d
}

// fileOf returns a file as a server keeps it.
func fileOf(c, name string) kaban.File {
	return kaban.File{ID: strings.Repeat(c, kaban.FileIDLength), Name: name, Size: 1000, Type: "image/png"}
}

func TestSplitPath(t *testing.T) {
	for rest, want := range map[string][2]string{
		"a.png":               {"a.png", ""},
		"a.png  look at it":   {"a.png", "look at it"},
		`"a b.png" look`:      {"a b.png", "look"},
		`'a "b".png'`:         {`a "b".png`, ""},
		"~/plan.pdf two\nrow": {"~/plan.pdf", "two\nrow"},
	} {
		if path, content, err := splitPath(rest); path != want[0] || content != want[1] || err != nil {
			t.Errorf("%q: %q and %q, %v", rest, path, content, err)
		}
	}
	for _, rest := range []string{`"a b.png`, `""`, "'"} {
		if _, _, err := splitPath(rest); err == nil {
			t.Errorf("%q is taken", rest)
		}
	}
}

// Uploads follow one another, also while the person is elsewhere, and each message is sent once its
// file is there, where and as an answer to what it was typed.
func TestUploads(t *testing.T) {
	d := sender(t)
	d.here().replying = 2
	d.keys("/upload cat.png look", "enter", "/upload plan.pdf", "enter")
	if got := d.back.last("upload"); got != "upload chat.example:6440 1 cat.png" {
		t.Fatalf("got %q", got)
	}
	d.happens(uploadEvent{number: 1, sent: 420, size: 1000})
	d.shows("↑ cat.png 42 %, 1 more, Ctrl-C cancels")
	if d.Model.quit(); d.mode == chatting && d.quitting == 0 {
		t.Error("it quits without its files")
	}
	d.quitting, d.hint = 0, ""
	d.enter(d.room("ops"))
	d.happens(uploadEvent{number: 1, done: true, file: fileOf("a", "cat.png")})
	if got, want := d.back.last("post"), fmt.Sprintf("post files lobby 3 to 2 %q [%s]", "look", strings.Repeat("a", kaban.FileIDLength)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.back.last("upload"); got != "upload chat.example:6440 2 plan.pdf" {
		t.Errorf("the next one is %q", got)
	}
	d.enter(d.room("lobby"))
	d.shows("[file: cat.png, 1000 B, image/png]")
	d.happens(sentEvent{room: "lobby", number: 3, err: &client.Error{Code: wire.CodeForbidden, Text: "you may only read here"}})
	if got := d.here().draft.text; got != "/upload cat.png look" {
		t.Errorf("of a message that is refused %q comes back", got)
	}
}

// Nothing that was typed is lost when an upload fails, and Ctrl-C cancels it.
func TestUploadsThatFail(t *testing.T) {
	d := sender(t)
	d.keys("/upload cat.png look", "enter", "/upload dog.png", "enter", "ctrl+c")
	if got := d.back.last("cancelUpload"); got == "" || d.quit {
		t.Fatal("Ctrl-C cancels nothing")
	}
	d.happens(uploadEvent{number: 1, done: true, err: context.Canceled})
	d.shows("cat.png was not sent: you have cancelled it")
	if got := d.here().draft.text; got != "/upload cat.png look" {
		t.Errorf("%q comes back", got)
	}
	d.happens(uploadEvent{number: 2, done: true, err: &client.Error{Code: wire.CodeTooLarge, Text: "the file has 30 MB and may have 25"}})
	d.shows("dog.png was not sent: the file has 30 MB and may have 25; the")
	d.shows("command was /upload dog.png")
	if got := d.here().draft.text; got != "/upload cat.png look" {
		t.Errorf("what was typed became %q", got)
	}
	if d.back.last("post") != "" || len(d.uploads) != 0 {
		t.Error("a message is sent")
	}
	d.keys("ctrl+u", `/upload "cat`, "enter")
	if got := d.here().draft.text; got != `/upload "cat` {
		t.Errorf("after a command that is wrong there is %q", got)
	}
}

// The session reports each end, and of the progress at least the last before it is taken.
func TestUploadOfASession(t *testing.T) {
	w := newWitness(t)
	failed := errors.New("the disk is full")
	w.options.Upload = func(ctx context.Context, server, _, path string, report func(int64, int64)) (kaban.File, error) {
		for n := range int64(100_000) {
			report(n, 100_000)
		}
		switch path {
		case "bad":
			return kaban.File{}, failed
		case "slow":
			<-ctx.Done()
			return kaban.File{}, fmt.Errorf("read: %w", errors.New("use of closed connection"))
		}
		return fileOf("a", server), nil
	}
	isDone := func(e uploadEvent) bool { return e.done }
	w.upload("h:1", 1, "good")
	if e := await(w, isDone); e.err != nil || e.file.Name != "h:1" || e.number != 1 {
		t.Errorf("got %+v", e)
	}
	w.upload("h:1", 2, "bad")
	if e := await(w, isDone); !errors.Is(e.err, failed) {
		t.Errorf("got %v", e.err)
	}
	w.upload("h:1", 3, "slow")
	await(w, func(e uploadEvent) bool { return e.sent == 99_999 })
	w.mu.Lock()
	if n := len(w.events); n > 1 {
		t.Errorf("%d events wait", n)
	}
	w.mu.Unlock()
	w.cancelUpload()
	if e := await(w, isDone); !errors.Is(e.err, context.Canceled) {
		t.Errorf("cancelled: %v", e.err)
	}
}

// A key downloads the file of the selected message; of several, a number chooses.
func TestDownloads(t *testing.T) {
	d := sender(t)
	one, err := kaban.NewFiles(fileOf("a", "cat.png"))
	two, err2 := kaban.NewFiles(fileOf("b", "dog.png"), fileOf("c", "\u202egnp.pdf"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	d.happens(messageEvent{room: "lobby", message: wire.Message{Seq: 4, Username: "ben", Files: one, Time: noon}, head: 4},
		messageEvent{room: "lobby", message: wire.Message{Seq: 5, Username: "ben", Files: two, Time: noon}, head: 5})
	d.keys("alt+s", "up", "o")
	if got := d.back.last("download"); got != "download chat.example:6440 lobby cat.png" {
		t.Errorf("got %q", got)
	}
	d.keys("alt+s", "up", "o")
	if n := len(slices.DeleteFunc(slices.Clone(d.back.calls), func(c string) bool { return !strings.HasPrefix(c, "download") })); n != 1 {
		t.Errorf("it is downloaded %d times", n)
	}
	d.happens(downloadEvent{room: "lobby", file: fileOf("a", "cat.png"), text: "downloaded to /tmp/cat.png"})
	d.shows("downloaded to /tmp/cat.png")
	d.keys("alt+s")
	for d.selected < 5 {
		d.keys("down")
	}
	d.keys("o")
	d.shows("Which file? 1 dog.png, 2 <U+202E>gnp.pdf (1-2, Esc)")
	d.keys("3", "x", "2")
	if got := d.back.last("download"); d.mode != chatting || !strings.HasSuffix(got, "gnp.pdf") {
		t.Errorf("got %q", got)
	}
	d.happens(downloadEvent{room: "lobby", file: fileOf("c", "x.pdf"), err: errors.New("the disk is full")})
	d.shows("x.pdf was not downloaded: the disk is full")
	d.keys("alt+s", "up", "up", "o")
	d.shows("the message has no files")
}
