package product

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kaban/internal/access"
	"kaban/internal/account"
)

// hidden makes a room that nobody but its op knows of, with a message, and the name of
// none.
func (w *world) hidden() (room, none string) {
	w.t.Helper()
	op := w.as("opal")
	room, none = w.newRoom(), w.newRoom()
	op.must(frame{"type": "create", "room": room, "kind": "private"})
	op.must(frame{"type": "join", "room": room})
	op.must(op.act("send", room, "", frame{"content": "secret"}))
	return room, none
}

// hiddenDirect is hidden for a direct room.
func (w *world) hiddenDirect() (room, none string) {
	w.t.Helper()
	room, _ = w.as("opal").answer(frame{"type": "direct", "usernames": []string{"tina"}})["room"].(string)
	return room, "@" + strings.Repeat("a", len(room)-1)
}

// strangers may not know of a hidden room. A member could create one, so that it learns
// that a name is in use, and is asked nothing that could.
func (w *world) strangers() []string {
	w.t.Helper()
	_, w.tokens["elsewhere"] = w.token(account.NewToken{Username: "olga", Rooms: []string{"lobby"}})
	_, w.tokens["reader"] = w.token(account.NewToken{Username: "mia", ReadOnly: true})
	return []string{"vic", "gus", "mia", "mia-bot", "elsewhere", "reader"}
}

// hiddenFrom calls visit for each hidden room, one that there is not, and those that may not
// know of the hidden one. Admins know of private rooms, but not of what others talk about
// directly.
func (w *world) hiddenFrom(visit func(who, room, none string)) {
	room, none := w.hidden()
	for _, who := range w.strangers() {
		visit(who, room, none)
	}
	room, none = w.hiddenDirect()
	for _, who := range append(w.strangers(), "ada", "olga") {
		visit(who, room, none)
	}
}

// requestsAbout are all requests about a room. Those of makers may make it.
func (w *world) requestsAbout(room string) (all, makers []frame) {
	by := asker{w, "mia"}
	for _, s := range slices.Concat(steps, last) {
		f := s.request(by, room)
		switch f["type"] {
		case "create", "join":
			makers = append(makers, f)
		default:
			all = append(all, f)
		}
	}
	more := []frame{
		{"type": "watch", "room": room},
		{"type": "watch", "room": room, "after": 1, "epoch": "x"},
		{"type": "unwatch", "room": room},
		{"type": "typing", "room": room},
		{"type": "history", "room": room, "before": 2},
		{"type": "history", "room": room, "after": 0, "limit": 1},
		{"type": "history", "room": room, "replies_to": 2},
		{"type": "members", "room": room, "after": "a", "limit": 1},
		{"type": "search", "room": room, "query": "secret"},
		{"type": "search", "room": room, "query": "secret", "before": 2, "limit": 1},
		{"type": "search", "query": "secret in:" + room},
		{"type": "read", "room": room, "seq": 2},
		{"type": "unread", "room": room, "seq": 99},
		{"type": "notify", "room": room, "level": "all"},
		w.act("send", room, "", frame{"content": "x"}),
		w.act("send", room, "", frame{"content": "x", "reply_to": 2}),
		w.act("kick", room, "opal", nil), w.act("invite", room, "gus", nil),
	}
	for _, target := range []int{2, 99} { // a message, in a room that there is, and none
		for _, c := range changes {
			f := w.act(c.what, room, "", c.more)
			f["target"] = target
			more = append(more, f)
		}
	}
	return append(all, more...), makers
}

// deedsAbout are requests of the API that name a room and are no steps. The names of the
// rooms are ROOM.
var deedsAbout = []deed{
	{access.InviteMember, "POST /v1/invites", frame{"rooms": []string{"ROOM"}}, notes{}},
	{access.InviteMember, "POST /v1/admin/invites", frame{"rooms": []string{"ROOM"}}, notes{}},
	{access.MakeToken, "POST /v1/tokens", frame{"name": "x", "rooms": []string{"ROOM"}}, notes{}},
	{access.MakeBot, "POST /v1/admin/users/mia-bot/tokens", frame{"name": "x", "rooms": []string{"ROOM"}}, notes{}},
	{access.AddHook, "POST /v1/admin/hooks", frame{"room": "ROOM"}, notes{}},
	{access.Create, "POST /v1/admin/rooms", frame{"room": "ROOM"}, notes{}},
	{access.Export, "POST /v1/admin/exports", frame{"rooms": []string{"ROOM"}}, notes{}},
	{access.Know, "GET /v1/rooms?limit=500", nil, notes{}},
	{access.Know, "GET /v1/rooms?after=ROOM", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/messages?before=2", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/messages?after=1&limit=1", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/messages?replies_to=2", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/messages/1/previews", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/members?after=a&limit=1", nil, notes{}},
	{access.Know, "GET /v1/rooms/ROOM/events?after=1&epoch=x", nil, notes{}},
	{access.Know, "GET /v1/inbox", nil, notes{}},
}

// call is a request of the API. The names of the rooms in it are ROOM.
type call struct {
	method, path string
	body         frame
}

// callsAbout are all requests of the API about a room, by somebody.
func (w *world) callsAbout(who string) (all []call) {
	w.t.Helper()
	frames, makers := w.requestsAbout("ROOM")
	for _, f := range slices.Concat(frames, makers) {
		if what, _ := f["type"].(string); offered[what] != 0 {
			method, path, body := asHTTP(f)
			path, body = w.sign(who, what, method, path, body)
			all = append(all, call{method, path, body})
		}
	}
	for _, d := range deedsAbout {
		method, path, _ := strings.Cut(d.request, " ")
		all = append(all, call{method, path, d.body})
	}
	return all
}

// about returns the path and the body with the name of a room.
func (c *call) about(w *world, room string) (path string, body any) {
	w.t.Helper()
	if c.body == nil {
		return strings.ReplaceAll(c.path, "ROOM", room), nil
	}
	text, err := json.Marshal(c.body)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.ReplaceAll(c.path, "ROOM", room), json.RawMessage(bytes.ReplaceAll(text, []byte("ROOM"), []byte(room)))
}

// same compares two answers: one has the name of a room, and the other that of
// none.
func same(about, none []byte, room, unused string) bool {
	return bytes.Equal(bytes.ReplaceAll(about, []byte(room), []byte(unused)), none)
}

// TestHiddenRoomsAreAsNone asks for everything about rooms that one may not know of, and
// about a name that no room has. The answers are the same byte for byte.
func TestHiddenRoomsAreAsNone(t *testing.T) {
	for _, f := range fronts {
		l, ok := f.front.(lines)
		if !ok {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, l)
			w.hiddenFrom(func(who, room, none string) { w.compareLines(l, who, room, none) })
			t.Logf("%d requests", w.count)
		})
	}
}

func (w *world) compareLines(l lines, who, room, none string) {
	w.t.Helper()
	all, makers := w.requestsAbout(room)
	if mayMake := slices.Contains([]string{"vic", "ada", "olga"}, who) || strings.HasPrefix(who, "mia"); !mayMake {
		all = append(all, makers...)
	}
	one, _ := l.connect(w, who)
	if who == "vic" {
		who = "vix"
	}
	other, _ := l.connect(w, who)
	defer one.wire.Close()
	defer other.wire.Close()
	for _, f := range all {
		if what, _ := f["type"].(string); onlyHTTP[what] {
			continue
		}
		g := maps.Clone(f)
		if g["room"] != nil {
			g["room"] = none
		}
		if query, ok := g["query"].(string); ok {
			g["query"] = strings.ReplaceAll(query, room, none)
		}
		a, b := one.line(f), other.line(g)
		w.count++
		if !same(a, b, room, none) {
			w.t.Errorf("%s: %v is answered with\n%s, and about no room\n%s", who, f, a, b)
		}
	}
}

// TestHiddenRoomsAreAsNoneOverHTTP is the same over HTTP.
func TestHiddenRoomsAreAsNoneOverHTTP(t *testing.T) {
	w := newWorld(t, api{})
	w.hiddenFrom(func(who, room, none string) {
		for _, a := range []api{{}, {cookie: true}} {
			w.compareHTTP(a, who, room, none)
		}
	})
	t.Logf("%d requests", w.count)
}

func (w *world) compareHTTP(a api, who, room, none string) {
	w.t.Helper()
	for _, c := range w.callsAbout(who) {
		ask := func(name string) *reply {
			path, body := c.about(w, name)
			return w.request(a.credential(w, who), c.method, path, body)
		}
		about, unused := ask(room), ask(none)
		w.count++
		if about.status != unused.status || !slices.Equal(about.headers(), unused.headers()) {
			w.t.Errorf("%s: %s %s is answered with %d %q, and about no room %d %q", who, c.method, c.path, about.status, about.headers(), unused.status, unused.headers())
		}
		if bytes.Contains(about.body, []byte("secret")) || !strings.Contains(c.path, "ROOM") && c.body == nil && bytes.Contains(about.body, []byte(room)) {
			w.t.Errorf("%s: %s %s says %s", who, c.method, c.path, about.body)
		}
		if about.status == http.StatusCreated {
			continue // what is made has a secret of its own; that it is made is the same
		}
		if !same(about.body, unused.body, room, none) {
			w.t.Errorf("%s: %s %s is answered with\n%s, and about no room\n%s", who, c.method, c.path, about.body, unused.body)
		}
	}
}

// headers returns the names of the headers of an answer with their values, sorted, but for
// the time, and of what is made its length.
func (a *reply) headers() (all []string) {
	for name, values := range a.header {
		if name == "Date" || name == "Content-Length" && a.status == http.StatusCreated {
			continue
		}
		all = append(all, fmt.Sprint(name, ": ", values))
	}
	slices.Sort(all)
	return all
}
