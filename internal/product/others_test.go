package product

import (
	"net/http"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/hook"
)

// TestHooksAgree posts with hooks: a speaker or not, muted, banned and removed, in rooms
// of all kinds and flags, whatever the server admits.
func TestHooksAgree(t *testing.T) {
	w := newWorld(t, api{})
	for _, admission := range []string{"open", "closed"} {
		w.set("access", admission)
		for _, kind := range []kaban.RoomKind{kaban.RoomPublic, kaban.RoomPrivate} {
			for flags := range allFlags + 1 {
				for _, rank := range []kaban.RoomRole{kaban.RoomRoleMember, kaban.RoomRoleSpeaker} {
					w.tryHook(admission, &scenario{kind: kind, flags: flags, rank: rank, standing: access.Good})
				}
			}
		}
	}
	if _, _, err := w.hooks.Add(t.Context(), w.operator, hook.NewHook{Room: kaban.NewDirectRoom()}); err == nil {
		t.Error("a direct room has a hook")
	}
	t.Logf("%d requests", w.count)
}

func (w *world) tryHook(admission string, s *scenario) {
	w.t.Helper()
	room := w.newRoom()
	op := w.as("opal")
	op.must(frame{"type": "create", "room": room, "kind": s.kind.String()})
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		w.t.Fatal(err)
	}
	key, id := w.addHook(name.String(), s.rank == kaban.RoomRoleSpeaker)
	if s.flags != 0 {
		op.must(op.act("set", room, "", frame{"flags": s.flags.Texts()}))
	}
	f := s.facts()
	f.Server.Admission, err = access.ParseAdmission(admission)
	f.Who = access.Identity{Role: kaban.RoleVisitor, Active: true, Named: true, Hook: true, Reach: access.ReachRoom, Writes: true}
	if err != nil {
		w.t.Fatal(err)
	}
	post := func() *reply {
		w.count++
		return w.request(make(http.Header), http.MethodPost, "/hooks/"+key, frame{"text": "x"})
	}
	answer, want := post(), access.Can(access.Post, f)
	if got := answer.body; want == access.Allowed && string(got) != "ok" || want != access.Allowed && answer.code(w) != want.String() {
		w.t.Errorf("%s: a hook, %v: %q, want %v", admission, s, got, want)
	}
	if _, err := w.hooks.Remove(w.t.Context(), w.operator, id); err != nil {
		if !s.flags.Has(kaban.FlagArchived) {
			w.t.Errorf("%v: remove: %v", s, err)
		}
		return
	}
	if got := post().code(w); got != "not_found" {
		w.t.Errorf("%v: a hook that was removed: %q", s, got)
	}
}

// TestAdmission asks as a visitor where the server takes none, over each front end.
func TestAdmission(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, f.front)
			room := w.newRoom()
			w.as("opal").must(frame{"type": "create", "room": room, "kind": "public"})
			for _, admission := range []string{"signup", "invite", "closed"} {
				w.set("access", admission)
				if l, ok := f.front.(lines); ok {
					if _, a := l.connect(w, "vic"); a.code() != "auth_required" {
						t.Errorf("%s: a visitor says hello: %v", admission, a)
					}
					continue
				}
				for _, what := range []string{"state", "history", "members", "watch", "rooms", "send"} {
					if a := f.front.answer(w, "vic", w.act(what, room, "", frame{"content": "x"})); a.code() != "auth_required" {
						t.Errorf("%s: %s of a visitor: %v", admission, what, a)
					}
				}
			}
			for _, admission := range []string{"closed", "open"} {
				w.set("access", admission)
				w.tryEnded(room)
			}
		})
	}
}

// tryEnded asks as accounts that are suspended and removed, over a connection that was
// there before and with a new one.
func (w *world) tryEnded(room string) {
	w.t.Helper()
	for _, end := range []struct {
		code string
		do   func(name string) error
	}{
		{"suspended", func(name string) error {
			return w.accounts.Suspend(w.t.Context(), account.Operator(), name, "")
		}},
		{"auth_failed", func(name string) error { return w.accounts.Remove(w.t.Context(), account.Operator(), name) }},
	} {
		w.secrets++
		name := "ended" + string(rune('a'+w.secrets))
		w.add(name, kaban.RoleMember)
		_, w.tokens[name] = w.token(account.NewToken{Username: name})
		if a := w.front.answer(w, name, frame{"type": "members", "room": room}); a.code() != "" {
			w.t.Fatalf("before: %v", a)
		}
		if err := end.do(name); err != nil {
			w.t.Fatal(err)
		}
		if l, ok := w.front.(lines); ok {
			w.lineOfEnded(l, name, end.code)
			continue
		}
		a := w.front.answer(w, name, frame{"type": "members", "room": room})
		if code := a.code(); code != end.code && !(w.front.(api).cookie && end.code == "auth_failed" && code == "auth_required") {
			w.t.Errorf("%s: %v, want %s", name, a, end.code)
		}
	}
}

func (w *world) lineOfEnded(l lines, name, code string) {
	w.t.Helper()
	for { // the connection gets goodbye and ends
		if _, err := w.peers[name].wire.receive(); err != nil {
			break
		}
	}
	if l.cookie && code != "suspended" { // there is no credential any more, and the handshake is refused
		if c, err := l.dial(w, name); err == nil {
			c.Close()
			w.t.Errorf("%s opens a socket", name)
		}
		return
	}
	if _, a := l.connect(w, name); a.code() != code {
		w.t.Errorf("hello of %s: %v, want %s", name, a, code)
	}
}
