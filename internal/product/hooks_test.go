package product

import (
	"net/http"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
)

// addHook has the op of a room make a hook for it.
func (w *world) addHook(room string, speaks bool) (key, id string) {
	w.t.Helper()
	a := w.request(api{cookie: true}.credential(w, "opal"), http.MethodPost, "/v1/admin/hooks", frame{"room": room, "speaker": speaks}).frame(w)
	path, _ := a["path"].(string)
	id, _ = a["id"].(string)
	if id == "" {
		w.t.Fatalf("the op of %s makes a hook: %v", room, a)
	}
	return strings.TrimPrefix(path, "/hooks/"), id
}

// TestHooksAreManagedAsAgreed lists, adds and removes hooks of a room, from every place
// in it, with every kind of credential.
func TestHooksAreManagedAsAgreed(t *testing.T) {
	w := newWorld(t, api{})
	for c := device; c < endOfCredentials; c++ {
		rarity := 10
		if c == device {
			rarity = 2
		}
		tried := sample(t, rarity)
		each(c, func(s *scenario) {
			if s.kind == kaban.RoomDirect || s.role == kaban.RoleVisitor && s.rank != 0 || !tried() {
				return // no request has the name of a direct room
			}
			w.manageHooks(s)
		})
	}
	t.Logf("%d requests", w.count)
}

func (w *world) manageHooks(s *scenario) {
	w.t.Helper()
	flags := s.flags
	s.flags = 0
	room, ask, leave := w.stage(s)
	defer leave()
	_, id := w.addHook(room, false)
	if s.flags = flags; flags != 0 {
		op := w.as("opal")
		op.must(op.act("set", room, "", frame{"flags": flags.Texts()}))
	}
	front := api{cookie: s.credential == device}
	request := func(method, path string, body any) *reply {
		w.count++
		return w.request(front.credential(w, ask), method, "/v1/admin/hooks"+path, body)
	}
	want := func(action access.Action) access.Verdict {
		v := access.Can(action, s.facts())
		if s.role == kaban.RoleVisitor {
			return access.AuthRequired
		}
		return v
	}
	if got := request(http.MethodPost, "", frame{"room": room}).code(w); got != code(want(access.AddHook)) {
		w.t.Errorf("%v: a hook is added: %q, want %v", s, got, want(access.AddHook))
	}
	sees := want(access.SeeHooks) == access.Allowed
	if got := strings.Contains(string(request(http.MethodGet, "", nil).body), id); got != sees {
		w.t.Errorf("%v: the hook is in the list: %t", s, got)
	}
	removed := want(access.RemoveHook)
	if got := request(http.MethodDelete, "/"+id, nil).code(w); sees && got != code(removed) || !sees && got == "" {
		w.t.Errorf("%v: the hook is removed: %q, want %v", s, got, removed)
	}
	if removed != access.Allowed {
		if _, err := w.hooks.Remove(w.t.Context(), w.operator, id); err != nil && !flags.Has(kaban.FlagArchived) {
			w.t.Errorf("%v: the operator removes the hook: %v", s, err)
		}
	}
}
