package product

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"kaban/internal/account"
)

// inbox returns what an inbox has over a front end, "ROOM SEQ CAUSE" each, and the code of an
// error.
func (w *world) inbox(front driver, as string) (found []string, code string) {
	w.t.Helper()
	answer := front.answer(w, as, frame{"type": "inbox"})
	if answer.code() != "" {
		return nil, answer.code()
	}
	mentions, _ := answer["mentions"].([]any)
	for _, one := range mentions {
		m, _ := one.(map[string]any)
		found = append(found, fmt.Sprint(m["room"], " ", m["seq"], " ", m["cause"]))
	}
	return found, ""
}

// TestInbox asks for inboxes over each front end: they have what mentions an account where it may
// read it now, and nothing else.
func TestInbox(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, f.front)
			public, private := w.newRoom(), w.newRoom()
			opal, mia, gus := w.as("opal"), "mia", "gus"
			opal.must(frame{"type": "create", "room": public, "kind": "public"})
			opal.must(frame{"type": "create", "room": private, "kind": "private"})
			opal.must(opal.act("invite", public, mia, nil))
			say := func(room, content string) string {
				t.Helper()
				a := opal.answer(opal.act("send", room, "", frame{"content": content}))
				if a.code() != "" {
					t.Fatalf("%q: %v", content, a)
				}
				return fmt.Sprint(room, " ", a["seq"])
			}
			opal.must(frame{"type": "join", "room": public})
			opal.must(frame{"type": "join", "room": private})
			check := func(what, who string, want ...string) {
				t.Helper()
				if got, code := w.inbox(f.front, who); code != "" || !slices.Equal(got, want) {
					t.Errorf("%s: the inbox of %s has %q, %q; want %q", what, who, got, code, want)
				}
			}
			check("nothing was said", mia)
			if code := f.front.answer(w, "vic", frame{"type": "inbox"}).code(); code != "auth_required" {
				t.Errorf("the inbox of a visitor: %q", code)
			}
			one := say(public, "hello @mia, @gus and @vic")
			say(private, "@mia is not here")
			opal.must(opal.act("invite", private, mia, nil))
			two := say(private, "@everyone welcome her")
			three := say(private, "@Mia")
			check("the newest is first", mia, three+" name", two+" everyone", one+" name")
			check("no member", gus)
			check("own", "opal")

			w.secrets++
			limited := fmt.Sprint("limited", w.secrets)
			if _, isHTTP := f.front.(api); isHTTP { // a token for one room
				_, w.tokens[limited] = w.token(account.NewToken{Username: mia, Rooms: []string{public}})
				check("a token for one room", limited, one+" name")
			}
			opal.must(opal.act("edit", private, "", frame{"target": seqOf(t, three), "content": "nobody"}))
			check("taken out", mia, two+" everyone", one+" name")
			opal.must(opal.act("kick", private, mia, nil))
			check("kicked", mia, one+" name")
			opal.must(opal.act("delete", public, "", frame{"target": seqOf(t, one)}))
			check("deleted", mia)
		})
	}
}

func seqOf(t *testing.T, place string) (seq uint64) {
	t.Helper()
	var room string
	if _, err := fmt.Sscan(place, &room, &seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

// The rooms of GET /v1/inbox are those with something new, and pages follow each other.
func TestInboxOverHTTP(t *testing.T) {
	w := newWorld(t, api{})
	room, quiet := w.newRoom(), w.newRoom()
	opal := w.as("opal")
	for _, r := range []string{quiet, room} {
		opal.must(frame{"type": "create", "room": r, "kind": "public"})
		opal.must(frame{"type": "join", "room": r})
		opal.must(opal.act("invite", r, "mia", nil))
	}
	for range 5 {
		opal.must(opal.act("send", room, "", frame{"content": "@mia"}))
	}
	var seqs []float64
	for path := "/v1/inbox?limit=2"; path != ""; {
		a := w.request(api{}.credential(w, "mia"), http.MethodGet, path, nil).frame(w)
		if a.code() != "" {
			t.Fatal(a)
		}
		for _, m := range a["mentions"].([]any) {
			seqs = append(seqs, m.(map[string]any)["seq"].(float64))
		}
		rooms := a["rooms"].([]any)
		if len(rooms) != 1 || rooms[0].(map[string]any)["mentions"] != 5.0 || rooms[0].(map[string]any)["room"] != room {
			t.Errorf("the rooms are %v, want %s with 5", rooms, room)
		}
		if path = ""; a["more"] == true {
			path = fmt.Sprintf("/v1/inbox?limit=2&before=%.0f", a["next"])
		}
	}
	if want := []float64{7, 6, 5, 4, 3}; !slices.Equal(seqs, want) {
		t.Errorf("the pages have %v, want %v", seqs, want)
	}
}

// What somebody wants to be notified of is set over HTTP, and there for all their devices.
func TestNotificationsOverHTTP(t *testing.T) {
	w := newWorld(t, api{})
	ask := func(who, method string, body any) frame {
		t.Helper()
		return w.request(api{}.credential(w, who), method, "/v1/account/notifications", body).frame(w)
	}
	if got := ask("mia", http.MethodGet, nil); got.code() != "" || len(got["keywords"].([]any)) != 0 || got["quiet"] != nil {
		t.Errorf("at first: %v", got)
	}
	quiet := frame{"from": "22:00", "to": "07:00", "zone": "UTC", "until_ms": 5.0}
	set := frame{"keywords": []any{"deploy"}, "level": "all", "quiet": quiet}
	for _, got := range []frame{ask("mia", http.MethodPut, set), ask("mia", http.MethodGet, nil)} {
		if fmt.Sprint(got) != fmt.Sprint(set) {
			t.Errorf("it is %v, want %v", got, set)
		}
	}
	me := w.as("mia").answer(frame{"type": "me"})
	if fmt.Sprint(me["keywords"], me["quiet"]) != fmt.Sprint(set["keywords"], quiet) {
		t.Errorf("me has %v and %v", me["keywords"], me["quiet"])
	}
	for field, bad := range map[string]frame{
		"keywords": {"keywords": []any{" "}}, "quiet": {"quiet": frame{"from": "22:00", "to": "07:00", "zone": "Nowhere/Else"}},
	} {
		if got := ask("mia", http.MethodPut, bad); got.code() != "bad_field" || got["field"] != field {
			t.Errorf("%v: %v, want bad_field of %s", bad, got, field)
		}
	}
	if got := ask("mia", http.MethodPut, frame{}); got.code() != "" || got["quiet"] != nil {
		t.Errorf("taken back: %v", got)
	}
	if got := ask("opal", http.MethodGet, nil); len(got["keywords"].([]any)) != 0 {
		t.Errorf("of somebody else: %v", got)
	}
	if got := ask("vic", http.MethodGet, nil); got.code() != "auth_required" {
		t.Errorf("of a visitor: %v", got)
	}
}
