package server_test

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// upload adds a file of somebody, that no message has, and returns its id.
func (w *town) upload(name, file string) string {
	w.t.Helper()
	id := strings.Repeat(file, 26)
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		username, err := kaban.ParseUsername(name)
		if err != nil {
			return err
		}
		account, err := people.Accounts.Named(tx, username)
		if err != nil {
			return err
		}
		return people.Files.Add(tx, &people.File{
			ID: id, Owner: account.ID, Name: file + ".png", Size: 7, Type: "image/png", Width: 3, Height: 4, Alt: "a " + file,
			Hash: fmt.Sprintf("%064x", file), Time: 1,
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestFilesOfMessages sends files from connections: in their order among other messages, again,
// twice, by somebody else, and from a room that the connection is not in any more.
func TestFilesOfMessages(t *testing.T) {
	w := newTown(t)
	cat, dog, owl := w.upload("ann", "c"), w.upload("ann", "d"), w.upload("bob", "o")
	ann, bob, olga := w.enterRoom("ann", "lobby", ""), w.enterRoom("bob", "lobby", ""), w.enterRoom("olga", "lobby", "")
	// Their coming is seq 1 to 3.
	for i := range 30 { // without a pause, so that those behind overtake if they can
		more := ""
		if i == 7 {
			more = `,"files":["` + cat + `","` + dog + `"]`
		}
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"%d"%s}`, i, i, more)
	}
	for i := range 30 {
		ann.expect("ack", "id", fmt.Sprint(i), "seq", i+4)
		m := bob.expect("message", "seq", i+4, "content", fmt.Sprint(i))
		want := ""
		if i == 7 {
			want = `"files":[{"alt":"a c","file":"` + cat + `","height":4,"name":"c.png","size":7,"type":"image/png","width":3},{`
		}
		if got := m.String(); !strings.Contains(got, want) || want == "" && strings.Contains(got, "files") {
			t.Errorf("message %d is %s", i, got)
		}
	}
	_, page := olga.page("lobby", `,"after":10,"limit":1`)
	if m := page["11"].String(); !strings.Contains(m, `"file":"`+dog+`"`) {
		t.Errorf("the history has %s", m)
	}
	files := func(id ...string) string { return `"files":["` + strings.Join(id, `","`) + `"]` }
	for _, step := range []struct {
		by       *peer
		id, more string
		want     string
	}{
		{ann, "7", `"content":"7",` + files(cat, dog), "again 11"},
		{ann, "7", `"content":"7",` + files(dog, cat), "id_conflict"},
		{ann, "7", `"content":"7"`, "id_conflict"},
		{ann, "x", `"content":"x",` + files(cat), "not_found"}, // another message has it
		{ann, "y", `"content":"x",` + files(owl), "not_found"}, // somebody else's
		{olga, "y", `"content":"x",` + files(strings.Repeat("z", 26)), "not_found"},
		{bob, "z", `"content":"","reply_to":11,` + files(owl), "seq 34"},
		{bob, "z", `"content":"","reply_to":11,` + files(owl), "again 34"},
		{bob, "w", `"content":"","reply_to":11,"files":[]`, "empty_content"},
		{bob, "v", `"content":"x","reply_to":99,` + files(w.upload("bob", "p")), "not_found"},
		{bob, "u", `"content":"x",` + files(strings.Repeat("p", 26)), "seq 35"}, // it is loose still
	} {
		if got := asked(step.by.request("send", "lobby", step.id, step.more)); got != step.want {
			t.Errorf("%s %s: %s, want %s", step.id, step.more, got, step.want)
		}
	}
	if got := asked(w.enter("ann").request("send", "lobby", "7", `"content":"7",`+files(cat, dog))); got != "again 11" {
		t.Errorf("again from outside: %s", got)
	}
	if got := asked(w.enter("ann").request("send", "lobby", "new", `"content":"7",`+files(w.upload("ann", "e")))); got != "not_joined" {
		t.Errorf("from outside: %s", got)
	}
	if got := asked(ann.request("delete", "lobby", "del", `"target":11`)); got != "seq 36" {
		t.Fatalf("deleting: %s", got)
	}
	if _, page := olga.page("lobby", `,"after":10,"limit":1`); strings.Contains(page["11"].String(), "files") {
		t.Errorf("a deleted message is %s", page["11"])
	}
	if got := asked(ann.request("send", "lobby", "7", `"content":"7",`+files(cat, dog))); got != "again 11" {
		t.Errorf("again after the message was deleted: %s", got)
	}
	ann.alive()
}

// A muted member sends no file, and the file stays loose.
func TestFilesNeedTheRightToSend(t *testing.T) {
	w := newTown(t)
	olga := w.enter("olga")
	olga.say(`{"type":"create","room":"den","kind":"private"}`)
	olga.expect("created")
	olga.say(`{"type":"join","room":"den"}`)
	olga.expect("joined")
	olga.request("invite", "den", "i", `"username":"ann"`)
	ann, cat := w.enterRoom("ann", "den", ""), w.upload("ann", "c")
	send := `"content":"x","files":["` + cat + `"]`
	olga.request("mute", "den", "m", `"username":"ann"`)
	if got := asked(ann.request("send", "den", "1", send)); got != "forbidden" {
		t.Errorf("a muted member: %s", got)
	}
	olga.request("unmute", "den", "u", `"username":"ann"`)
	if got := asked(ann.request("send", "den", "2", send)); got != "seq 5" {
		t.Errorf("then: %s", got)
	}
}
