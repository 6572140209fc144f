package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// request sends a request of a room with an id as its ref and returns the answer. What else
// comes first is thrown away.
func (p *peer) request(kind, room, id, more string) frame {
	p.t.Helper()
	if more != "" {
		more = "," + more
	}
	p.say(`{"type":"%s","room":"%s","id":"%s","ref":"%s"%s}`, kind, room, id, id, more)
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("%s %s: %v", kind, id, err)
		}
		if f["ref"] == id {
			return f
		}
	}
}

// asked is what a request is answered with: the code of an error, or "seq N", or "again N"
// for a duplicate.
func asked(f frame) string {
	switch {
	case f["type"] == "error":
		return fmt.Sprint(f["code"])
	case f["duplicate"] == true:
		return fmt.Sprint("again ", f["seq"])
	}
	return fmt.Sprint("seq ", f["seq"])
}

// page returns a page of a room's history, and its messages by seq.
func (p *peer) page(room, more string) (frame, map[string]frame) {
	p.t.Helper()
	p.say(`{"type":"history","room":"%s","ref":"page"%s}`, room, more)
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatal(err)
		}
		if f["ref"] != "page" {
			continue
		}
		messages := make(map[string]frame)
		list, _ := f["messages"].([]any)
		for _, m := range list {
			message, _ := m.(map[string]any)
			messages[fmt.Sprint(message["seq"])] = message
		}
		return f, messages
	}
}

// enterRoom signs in and joins.
func (w *town) enterRoom(name, room string, after string) *peer {
	w.t.Helper()
	p := w.enter(name)
	p.say(`{"type":"join","room":"%s"%s}`, room, after)
	p.expect("joined", "room", room)
	return p
}

// TestMessagesChange follows a message through everything that may become of it, live, as
// it is replayed and in the history.
func TestMessagesChange(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	for _, step := range []struct {
		by                 *peer
		kind, id, more     string
		answer, frame, has string
	}{
		{ann, "send", "1", `"content":"one"`, "seq 1", "message", `"content":"one"`},
		{ann, "edit", "2", `"target":1,"content":"ONE","base":1`, "seq 2", "edit", `"content":"ONE"`},
		{ann, "edit", "3", `"target":1,"content":"eins","base":1`, "edit_conflict", "", ""},
		{bob, "edit", "4", `"target":1,"content":"mine"`, "forbidden", "", ""},
		{ann, "edit", "5", `"target":1,"content":" "`, "empty_content", "", ""},
		{ann, "edit", "6", `"target":9,"content":"x"`, "not_found", "", ""},
		{bob, "react", "7", `"target":1,"emoji":"❤","on":true`, "seq 3", "react", `"emoji":"❤️"`},
		{bob, "react", "8", `"target":1,"emoji":"❤️","on":true`, "again 3", "", ""},
		{ann, "react", "9", `"target":1,"emoji":"❤️","on":false`, "again 1", "", ""},
		{ann, "react", "10", `"target":1,"emoji":"x","on":true`, "bad_emoji", "", ""},
		{ann, "react", "11", `"target":2,"emoji":"👍","on":true`, "not_found", "", ""}, // an edit is no message
		{bob, "send", "12", `"content":"two","reply_to":1`, "seq 4", "message", `"reply_to":1`},
		{bob, "send", "13", `"content":"two","reply_to":3`, "not_found", "", ""},
		{bob, "edit", "14", `"target":4,"content":"TWO"`, "seq 5", "edit", `"target":4`},
		{bob, "edit", "15", `"target":4,"content":"zwei","base":5`, "seq 6", "edit", `"content":"zwei"`},
		{bob, "pin", "16", `"target":1,"on":true`, "forbidden", "", ""}, // by somebody without an account
		{ann, "delete", "17", `"target":4`, "forbidden", "", ""},
		{bob, "delete", "18", `"target":4,"reason":"no more"`, "seq 7", "delete", `"reason":"no more"`},
		{bob, "edit", "19", `"target":4,"content":"back"`, "gone", "", ""},
		{ann, "react", "20", `"target":4,"emoji":"👍","on":true`, "gone", "", ""},
		{ann, "send", "21", `"content":"what?","reply_to":4`, "gone", "", ""},
		{bob, "delete", "22", `"target":4`, "gone", "", ""},
		{bob, "delete", "18", `"target":4,"reason":"no more"`, "again 7", "", ""},
		{bob, "edit", "14", `"target":4,"content":"TWO"`, "again 5", "", ""},
		{bob, "edit", "14", `"target":1,"content":"TWO"`, "id_conflict", "", ""},
		{bob, "send", "12", `"content":"two","reply_to":1`, "again 4", "", ""},
		{bob, "send", "12", `"content":"two"`, "id_conflict", "", ""},
	} {
		answer := step.by.request(step.kind, "lobby", step.id, step.more)
		if got := asked(answer); got != step.answer || answer["room"] != "lobby" || answer["id"] != step.id {
			if got != step.answer || answer["code"] != "empty_content" { // which names no room
				t.Errorf("%s %s: %s, want %s", step.kind, step.more, answer, step.answer)
			}
		}
		other := ann
		if step.by == ann {
			other = bob
		}
		if step.frame != "" {
			got := other.expect(step.frame, "room", "lobby", "id", step.id)
			if !strings.Contains(got.String(), step.has) {
				t.Errorf("%s %s is shown as %s, want %s", step.kind, step.more, got, step.has)
			}
		}
		other.alive() // and nothing else
	}
	page, messages := ann.page("lobby", "")
	if fmt.Sprintf("%v %v %v", page["first"], page["last"], page["as_of"]) != "1 7 7" || len(messages) != 2 {
		t.Errorf("the history is %s", page)
	}
	if m := messages["1"].String(); !strings.Contains(m, `"reactions":[{"count":1,"emoji":"❤️","me":false,"usernames":["bob"]}]`) || !strings.Contains(m, `"replies":1`) || !strings.Contains(m, `"content":"ONE"`) || !strings.Contains(m, `"edited":{"seq":2,`) {
		t.Errorf("message 1 is %s", m)
	}
	if m := messages["4"]; m["deleted"] != true || m["content"] != nil || m["reactions"] != nil {
		t.Errorf("message 4 is %s", m)
	}
	if page, messages := bob.page("lobby", `,"replies_to":1`); len(messages) != 1 || messages["4"] == nil {
		t.Errorf("the thread of message 1 is %s", page)
	}
	cat := f.hello("cat")
	cat.say(`{"type":"join","room":"lobby","after":0}`)
	cat.expect("joined", "head", 7)
	first, second := any("one"), any("two") // the tail has them as they were, and what came after
	if len(f.all) > 1 {
		first, second = "ONE", nil // where nobody was in the room, there is none
	}
	cat.expect("message", "seq", 1, "content", first)
	cat.expect("edit", "seq", 2, "target", 1, "content", "ONE")
	cat.expect("react", "seq", 3, "emoji", "❤️")
	cat.expect("message", "seq", 4, "reply_to", 1, "content", second)
	cat.expect("edit", "seq", 5)
	cat.expect("edit", "seq", 6)
	cat.expect("delete", "seq", 7, "target", 4)
	cat.alive()
}

// TestRepeatsOfChanges repeats every request by its id after coming back, after the message
// was deleted, and after being kicked.
func TestRepeatsOfChanges(t *testing.T) {
	w := newTown(t)
	ann := w.enter("ann")
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"join","room":"den"}`)
	ann.expect("joined")
	ann.request("invite", "den", "i", `"username":"bob"`) // seq 2
	requests := []struct {
		kind, id, more string
		first, again   string
	}{
		{"send", "1", `"content":"one"`, "seq 3", "again 3"},
		{"send", "2", `"content":"two","reply_to":3`, "seq 4", "again 4"},
		{"edit", "3", `"target":3,"content":"ONE","base":3`, "seq 5", "again 5"},
		{"edit", "3b", `"target":3,"content":"ONE"`, "seq 6", "again 6"}, // the same text is an edit, too
		{"react", "4", `"target":4,"emoji":"👍","on":true`, "seq 7", "again 7"},
		{"react", "4b", `"target":4,"emoji":"👍","on":true`, "again 7", "again 7"}, // it was there
		{"react", "5", `"target":4,"emoji":"👍","on":false`, "seq 8", "again 8"},
		{"react", "5b", `"target":4,"emoji":"👍","on":false`, "again 4", "again 4"},
		{"pin", "6", `"target":3,"on":true`, "seq 9", "again 9"},
		{"pin", "6b", `"target":3,"on":true`, "again 9", "again 9"},
		{"pin", "6c", `"target":3,"on":false`, "seq 10", "again 10"},
		{"delete", "7", `"target":4,"reason":"wrong"`, "seq 11", "again 11"},
	}
	bob := w.enterRoom("bob", "den", "")
	for _, r := range requests {
		if got := asked(bob.request(r.kind, "den", r.id, r.more)); got != r.first {
			t.Errorf("%s %s: %s, want %s", r.kind, r.id, got, r.first)
		}
	}
	repeat := func(p *peer, when string) {
		t.Helper()
		for _, r := range requests {
			if got := asked(p.request(r.kind, "den", r.id, r.more)); got != r.again {
				t.Errorf("%s: %s %s: %s, want %s", when, r.kind, r.id, got, r.again)
			}
		}
	}
	repeat(bob, "at once")
	bob.conn.Close()
	repeat(w.enterRoom("bob", "den", ""), "after coming back")
	repeat(w.enter("bob"), "without joining")
	if got := asked(ann.request("delete", "den", "d", `"target":3`)); got != "seq 12" {
		t.Errorf("the op deletes: %s", got)
	}
	repeat(w.enterRoom("bob", "den", ""), "after the message was deleted")
	inside := w.enterRoom("bob", "den", "")
	ann.request("kick", "den", "k", `"username":"bob"`)
	inside.expect("parted", "reason", "kicked")
	repeat(inside, "after being kicked")
	repeat(w.enter("bob"), "as somebody that was kicked")
	if got := asked(inside.request("edit", "den", "8", `"target":3,"content":"one"`)); got != "not_found" {
		t.Errorf("a new edit after being kicked: %s", got)
	}
}

// TestChangesByThoseWhoLeft has people change messages who may not, or no longer.
func TestChangesByThoseWhoLeft(t *testing.T) {
	w := newTown(t)
	olga, ann := w.enter("olga"), w.enter("ann")
	for _, room := range []string{"hall", "den"} {
		kind := map[string]string{"hall": "public", "den": "private"}[room]
		ann.say(`{"type":"create","room":"%s","kind":"%s"}`, room, kind)
		ann.expect("created")
		ann.say(`{"type":"join","room":"%s"}`, room)
		ann.expect("joined")
		ann.request("invite", room, "i", `"username":"bob"`) // seq 2
	}
	bob := w.enterRoom("bob", "hall", "")
	bob.say(`{"type":"join","room":"den"}`)
	bob.expect("joined")
	for _, step := range []struct {
		by                   *peer
		kind, room, id, more string
		want                 string
	}{
		{bob, "send", "hall", "1", `"content":"one"`, "seq 3"},
		{bob, "send", "den", "1", `"content":"one"`, "seq 3"},
		{ann, "send", "hall", "2", `"content":"two"`, "seq 4"},

		{ann, "mute", "hall", "3", `"username":"bob"`, "seq 5"},
		{bob, "edit", "hall", "4", `"target":3,"content":"ONE"`, "forbidden"},
		{bob, "react", "hall", "5", `"target":4,"emoji":"👍","on":true`, "forbidden"},
		{bob, "pin", "hall", "6", `"target":4,"on":true`, "forbidden"},
		{bob, "edit", "hall", "7", `"target":99,"content":"ONE"`, "forbidden"}, // whatever there is
		{ann, "unmute", "hall", "8", `"username":"bob"`, "seq 6"},
		{bob, "edit", "hall", "9", `"target":3,"content":"ONE"`, "seq 7"},

		{ann, "set", "hall", "10", `"flags":["announce"]`, "seq 8"},
		{bob, "send", "hall", "11", `"content":"x","reply_to":4`, "forbidden"},
		{bob, "edit", "hall", "12", `"target":3,"content":"Eins"`, "forbidden"},
		{bob, "react", "hall", "13", `"target":4,"emoji":"👍","on":true`, "seq 9"},
		{bob, "pin", "hall", "14", `"target":4,"on":true`, "forbidden"},
		{ann, "pin", "hall", "15", `"target":4,"on":true`, "seq 10"},
		{ann, "set", "hall", "16", `"flags":[]`, "seq 11"},

		{ann, "set", "hall", "17", `"archived":true`, "seq 12"},
		{bob, "edit", "hall", "18", `"target":3,"content":"Eins"`, "forbidden"},
		{bob, "react", "hall", "19", `"target":4,"emoji":"👍","on":false`, "forbidden"},
		{bob, "delete", "hall", "20", `"target":3`, "forbidden"},
		{bob, "send", "hall", "21", `"content":"x","reply_to":4`, "forbidden"},
		{ann, "set", "hall", "22", `"archived":false`, "seq 13"},

		{ann, "kick", "hall", "23", `"username":"bob"`, "seq 14"},
		{bob, "edit", "hall", "24", `"target":3,"content":"Eins"`, "not_joined"},
		{bob, "react", "hall", "25", `"target":4,"emoji":"👍","on":false`, "not_joined"},
		{bob, "edit", "hall", "9", `"target":3,"content":"ONE"`, "again 7"},
		{bob, "delete", "hall", "26", `"target":4`, "forbidden"},
		{bob, "delete", "hall", "27", `"target":99`, "not_found"},
		{bob, "delete", "hall", "28", `"target":3`, "seq 15"}, // one's own in a public room
		{ann, "kick", "den", "29", `"username":"bob"`, "seq 4"},
		{bob, "edit", "den", "30", `"target":3,"content":"Eins"`, "not_found"},
		{bob, "delete", "den", "31", `"target":3`, "not_found"},
		{bob, "delete", "nowhere", "31", `"target":3`, "not_found"},

		{ann, "edit", "den", "32", `"target":3,"content":"his"`, "forbidden"}, // an op edits nobody's words
		{ann, "delete", "den", "33", `"target":3,"reason":"he left"`, "seq 5"},
		{ann, "invite", "hall", "34", `"username":"gus"`, "seq 16"},
		{ann, "role", "hall", "35", `"username":"gus","role":"op"`, "seq 17"},
		{olga, "role", "hall", "36", `"username":"ann","role":"member"`, "seq 18"},
		{ann, "send", "hall", "37", `"content":"three"`, "seq 19"},
		{ann, "delete", "hall", "38", `"target":3`, "forbidden"}, // an op no longer
		{bob, "join", "hall", "39", ``, "seq <nil>"},
		{bob, "send", "hall", "40", `"content":"four"`, "seq 20"},
		{ann, "delete", "hall", "41", `"target":20`, "forbidden"},
		{olga, "delete", "hall", "42", `"target":20`, "seq 21"}, // an admin is the op of public rooms
	} {
		if got := asked(step.by.request(step.kind, step.room, step.id, step.more)); got != step.want {
			t.Errorf("%s %s of %s, %s: %s, want %s", step.kind, step.more, step.room, step.id, got, step.want)
		}
		for step.kind == "kick" { // bob's connection learns it in its own time
			if f, err := bob.next(); err != nil {
				t.Fatal(err)
			} else if f["type"] == "parted" {
				break
			}
		}
	}
}

// TestNewMembersGetVoids has a room in which members see what comes after they have come.
func TestNewMembersGetVoids(t *testing.T) {
	w := newTown(t)
	ann := w.enter("ann")
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"join","room":"den"}`)
	ann.expect("joined")
	ann.request("set", "den", "s", `"history":"joined"`)  // seq 2
	ann.request("send", "den", "1", `"content":"before"`) // 3
	ann.request("invite", "den", "i", `"username":"bob"`) // 4
	bob := w.enterRoom("bob", "den", `,"after":3`)
	bob.expect("member", "seq", 4)
	ann.request("edit", "den", "2", `"target":3,"content":"secret"`)     // 5
	ann.request("react", "den", "3", `"target":3,"emoji":"👍","on":true`) // 6
	ann.request("send", "den", "4", `"content":"after","reply_to":3`)    // 7
	ann.request("pin", "den", "5", `"target":3,"on":true`)               // 8
	ann.request("edit", "den", "6", `"target":7,"content":"AFTER"`)      // 9
	late := w.enterRoom("bob", "den", `,"after":3`)
	late.expect("member", "seq", 4)
	for _, p := range []*peer{bob, late} {
		for _, seq := range []int{5, 6} {
			if f := p.expect("void", "room", "den", "seq", seq); len(f) != 4 {
				t.Errorf("a void is %s", f)
			}
		}
		if m := p.expect("message", "seq", 7, "reply_to", 3); !strings.EqualFold(fmt.Sprint(m["content"]), "after") { // of either version
			t.Errorf("the message is %s", m)
		}
		p.expect("void", "seq", 8)
		p.expect("edit", "seq", 9, "target", 7, "content", "AFTER")
		p.alive()
	}
	for id, more := range map[string]string{"7": `"target":3,"emoji":"👍","on":true`, "8": `"target":99,"emoji":"👍","on":true`} {
		f := bob.request("react", "den", id, more)
		if want := "there is no such message in this room, or you may not see it"; f["code"] != "not_found" || f["message"] != want {
			t.Errorf("a reaction %s: %s", more, f)
		}
	}
	if f := bob.request("send", "den", "9", `"content":"x","reply_to":3`); f["code"] != "not_found" {
		t.Errorf("a reply to what is hidden: %s", f)
	}
	if f, _ := bob.page("den", `,"replies_to":3`); f["code"] != "not_found" {
		t.Errorf("a thread of what is hidden: %s", f)
	}
	if f, _ := bob.page("den", ""); strings.Contains(f.String(), "secret") || fmt.Sprintf("%v %v", f["first"], f["last"]) != "4 9" {
		t.Errorf("the history is %s", f)
	}
}

// TestManyReactAtOnce has 50 people react to a message and take it back, each as often as it
// likes. Whoever has followed counts the same as the history.
func TestManyReactAtOnce(t *testing.T) {
	f := serve(t)
	author := f.join("author")
	author.request("send", "lobby", "1", `"content":"what do you think?"`)
	const crowd, rounds = 50, 6
	emoji := []string{"👍", "🎉", "😀"}
	people := make([]*peer, crowd)
	for i := range people {
		people[i] = f.join(fmt.Sprint("person-", i))
	}
	var all sync.WaitGroup
	counts := make([]string, crowd)
	for i, p := range people {
		all.Go(func() {
			for round := range rounds { // on and off; the last of every third stays
				e, on := emoji[(i+round/2)%len(emoji)], round%2 == 0
				p.say(`{"type":"react","room":"lobby","id":"%d","target":1,"emoji":"%s","on":%t}`, round, e, on)
			}
			if i%3 == 0 {
				p.say(`{"type":"react","room":"lobby","id":"stays","target":1,"emoji":"%s","on":true}`, emoji[i%len(emoji)])
			}
		})
	}
	all.Wait()
	const entries = 1 + crowd*rounds + (crowd+2)/3
	for i, p := range people {
		all.Go(func() { counts[i] = p.countReactions(fmt.Sprint("person-", i), entries) })
	}
	all.Wait()
	_, messages := author.page("lobby", "")
	reactions, _ := messages["1"]["reactions"].([]any)
	var want []string
	for _, r := range reactions {
		reaction, _ := r.(map[string]any)
		want = append(want, fmt.Sprint(reaction["emoji"], " ", reaction["count"]))
	}
	slices.Sort(want)
	for i, got := range counts {
		if got != strings.Join(want, ", ") {
			t.Errorf("person %d counts %s, the history has %s", i, got, want)
		}
	}
	if len(want) != 1 || want[0] != "👍 17" {
		t.Errorf("the history has %s", want)
	}
}

// countReactions reads everything up to an entry, as somebody that knows what it has sent.
func (p *peer) countReactions(name string, last int) string {
	seen := make(map[string]map[string]bool) // of people, by emoji
	for next := 2; next <= last; {
		f, err := p.next()
		if err != nil {
			p.t.Error(err)
			return ""
		}
		e, by, on := fmt.Sprint(f["emoji"]), fmt.Sprint(f["username"]), f["on"] == true
		switch {
		case f["type"] == "error":
			p.t.Error(f)
			return ""
		case fmt.Sprint(f["seq"]) != fmt.Sprint(next):
			p.t.Errorf("got %s, want number %d", f, next)
			return ""
		case f["type"] == "ack":
			if next++; f["id"] == "stays" {
				note(seen, "👍", name, true)
			}
			continue
		}
		next++
		note(seen, e, by, on)
	}
	var all []string
	for e, people := range seen {
		if len(people) > 0 {
			all = append(all, fmt.Sprint(e, " ", len(people)))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func note(seen map[string]map[string]bool, emoji, by string, on bool) {
	if seen[emoji] == nil {
		seen[emoji] = make(map[string]bool)
	}
	if seen[emoji][by] = true; !on {
		delete(seen[emoji], by)
	}
}
