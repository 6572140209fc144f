package product

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

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

// requestsAbout are all requests about a room. Those of makers may make it.
func (w *world) requestsAbout(room string) (all, makers []frame) {
	by := asker{w, "mia"}
	for _, s := range slices.Concat(steps, last) {
		f := s.request(by, room)
		switch f["type"] {
		case "state":
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
		{"type": "read", "room": room, "seq": 2},
		{"type": "unread", "room": room, "seq": 99},
		w.act("send", room, "", frame{"content": "x"}),
		w.act("kick", room, "opal", nil), w.act("invite", room, "gus", nil),
		{"type": "history", "room": room, "replies_to": 2},
		w.act("send", room, "", frame{"content": "x", "reply_to": 2}),
	}
	for _, target := range []int{2, 99} { // a message, in a room that there is, and none
		more = append(more, w.act("edit", room, "", frame{"target": target, "content": "x"}), w.act("delete", room, "", frame{"target": target}),
			w.act("react", room, "", frame{"target": target, "emoji": "👍", "on": true}), w.act("pin", room, "", frame{"target": target, "on": true}))
	}
	return append(all, more...), makers
}

// same compares two answers, of which one has the name of a room and the other that of
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
			for _, make := range []func() (string, string){w.hidden, w.hiddenDirect} {
				room, none := make()
				for _, who := range w.strangers() {
					w.compareLines(l, who, room, none)
				}
			}
			t.Logf("%d requests", w.count)
		})
	}
}

func (w *world) compareLines(l lines, who, room, none string) {
	w.t.Helper()
	all, makers := w.requestsAbout(room)
	if mayMake := who == "vic" || strings.HasPrefix(who, "mia"); !mayMake {
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
		g := maps.Clone(f)
		g["room"] = none
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
	for _, make := range []func() (string, string){w.hidden, w.hiddenDirect} {
		room, none := make()
		for _, who := range w.strangers() {
			for _, a := range []api{{}, {cookie: true}} {
				w.compareHTTP(a, who, room, none)
			}
		}
	}
	t.Logf("%d requests", w.count)
}

func (w *world) compareHTTP(a api, who, room, none string) {
	w.t.Helper()
	message, by := frame{"id": "m1", "content": "x"}, "?id=m2"
	if who == "vic" {
		message["username"] = "vic"
		by += "&username=vic"
	}
	answering := maps.Clone(message)
	answering["reply_to"] = 2
	for _, r := range []struct {
		method, path string
		body         func(room string) any
	}{
		{http.MethodGet, "/v1/rooms/ROOM", nil},
		{http.MethodGet, "/v1/rooms/ROOM/members", nil},
		{http.MethodGet, "/v1/rooms/ROOM/messages", nil},
		{http.MethodGet, "/v1/rooms/ROOM/messages?before=2", nil},
		{http.MethodGet, "/v1/rooms/ROOM/messages?after=1&limit=1", nil},
		{http.MethodGet, "/v1/rooms/ROOM/events", nil},
		{http.MethodPost, "/v1/rooms/ROOM/messages", func(string) any { return message }},
		{http.MethodPost, "/v1/rooms/ROOM/messages", func(string) any { return answering }},
		{http.MethodGet, "/v1/rooms/ROOM/messages?replies_to=2", nil},
		{http.MethodPatch, "/v1/rooms/ROOM/messages/2", func(string) any { return message }},
		{http.MethodDelete, "/v1/rooms/ROOM/messages/2" + by, nil},
		{http.MethodPut, "/v1/rooms/ROOM/messages/2/reactions/%F0%9F%91%8D" + by, nil},
		{http.MethodDelete, "/v1/rooms/ROOM/messages/2/reactions/%F0%9F%91%8D" + by, nil},
		{http.MethodPut, "/v1/rooms/ROOM/messages/2/pin" + by, nil},
		{http.MethodDelete, "/v1/rooms/ROOM/messages/2/pin" + by, nil},
		{http.MethodPut, "/v1/admin/rooms/ROOM/op", func(string) any { return frame{"username": "opal"} }},
		{http.MethodPost, "/v1/invites", func(room string) any { return frame{"rooms": []string{room}} }},
		{http.MethodPost, "/v1/admin/invites", func(room string) any { return frame{"rooms": []string{room}} }},
		{http.MethodPost, "/v1/admin/hooks", func(room string) any { return frame{"room": room} }},
		{http.MethodGet, "/v1/rooms?limit=500", nil},
	} {
		ask := func(name string) *reply {
			var body any
			if r.body != nil {
				body = r.body(name)
			}
			return w.request(a.credential(w, who), r.method, strings.ReplaceAll(r.path, "ROOM", name), body)
		}
		about, unused := ask(room), ask(none)
		w.count++
		if about.status < 300 && strings.Contains(r.path, "invites") {
			continue // a link has a secret of its own; that it is made is the same
		}
		if about.status != unused.status || !same(about.body, unused.body, room, none) {
			w.t.Errorf("%s: %s %s is answered with\n%s, and about no room\n%s", who, r.method, r.path, about.body, unused.body)
		}
		if bytes.Contains(about.body, []byte("secret")) || strings.HasPrefix(r.path, "/v1/rooms?") && bytes.Contains(about.body, []byte(room)) {
			w.t.Errorf("%s: %s %s says %s", who, r.method, r.path, about.body)
		}
	}
}
