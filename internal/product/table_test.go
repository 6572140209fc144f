package product

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/wire"
)

// This file sees that nothing is forgotten: every command of kaban/1, every operation of
// the API and every action is in a table of this package, or has a reason not to be.

// otherCommands are the commands that are no steps, and what tries them.
var otherCommands = map[string]string{
	"hello":   "TestAdmission, and every other one begins with it",
	"send":    "checkSend",
	"typing":  "checkSend",
	"watch":   "checkSend",
	"unwatch": "checkSend; it ends what watch began, and takes no right",
	"rooms":   "checkList",
	"search":  "TestSearchAgrees",
	"inbox":   "TestInbox",
	"direct":  "TestDirectAgrees",
	"me":      "TestOwnCommands",
	"away":    "TestOwnCommands",
	"ping":    "it takes no right",
	"pong":    "it takes no right",
}

// otherOperations are the operations of the API that are neither steps nor deeds, and
// what tries them.
var otherOperations = map[string]string{
	"GET /healthz":      "it is for everybody",
	"GET /readyz":       "it is for everybody",
	"GET /v1/server":    "it is for everybody",
	"GET /v1/socket":    "it is a front end of its own here",
	"POST /hooks/{key}": "TestHooksAgree",
	"GET /v1/inbox":     "TestInbox",
	"GET /v1/people":    "tryPeople",

	"GET /v1/rooms/{room}/messages/{seq}/previews": "chat.TestPreviewsFollowTheMessage; it takes the right to read",

	"GET /v1/admin/hooks":         "TestHooksAreManagedAsAgreed",
	"POST /v1/admin/hooks":        "TestHooksAreManagedAsAgreed",
	"DELETE /v1/admin/hooks/{id}": "TestHooksAreManagedAsAgreed",
	"POST /v1/admin/rooms":        "it is for commands in the data directory: chat.TestRoomsOfTheOperator",

	"HEAD /v1/uploads/{id}":        "its refusal has no text: web.TestUploadsAreTheirOwners",
	"OPTIONS /v1/files":            "it is for everybody",
	"GET /v1/files/{id}":           "TestFilesAgree",
	"GET /v1/files/{id}/thumbnail": "TestFilesAgree",

	"POST /v1/session":                "it signs in: web.TestEveryWayInEveryStatus",
	"POST /v1/passkeys/sign-in/begin": "it signs in: web.TestEveryWayInEveryStatus",
	"POST /v1/passkeys/sign-in":       "it signs in: web.TestEveryWayInEveryStatus",
	"GET /v1/oidc/start":              "it signs in: providertest.TestProviderInEveryStatus",
	"GET /v1/oidc/callback":           "it signs in: providertest.TestProviderInEveryStatus",
	"GET /v1/oidc/link":               "it leads to the provider: the tests of providertest",
	"GET /v1/oidc/confirm":            "it leads to the provider: the tests of providertest",
	"POST /v1/device":                 "it asks to be signed in: web.TestDeviceGrant",
	"POST /v1/device/token":           "it signs in: web.TestEveryWayInEveryStatus",

	"POST /v1/claim":              "its secret is the right: web.TestClaimAndInvite",
	"POST /v1/claim/look":         "its secret is the right: web.TestClaimAndInvite",
	"POST /v1/invite/accept":      "its secret is the right: web.TestClaimAndInvite",
	"POST /v1/invite/look":        "its secret is the right: web.TestClaimAndInvite",
	"POST /v1/passkeys/new/begin": "its secret is the right: web.TestAccountsWithAPasskeyOnly",
	"POST /v1/accounts":           "TestSignUpAgrees",

	"POST /v1/session/confirm":  "the secret is looked at before the right: web.TestASession",
	"POST /v1/passkeys":         "the secret is looked at before the right: web.TestPasskeyOverHTTP",
	"POST /v1/passkeys/confirm": "the secret is looked at before the right: web.TestAccountsWithAPasskeyOnly",
	"DELETE /v1/session":        "it ends what asks: web.TestASession",
	"DELETE /v1/devices":        "it ends what the others ask with: account.TestDevices",
}

// otherActions are the actions that no request of a table is, and what tries them.
var otherActions = map[access.Action]string{
	access.Ring:       "TestRingAgrees",
	access.OpenDirect: "TestDirectAgrees",
	access.KnowPerson: "tryPeople",
	access.Send:       "checkSend",
	access.Post:       "checkSend",
	access.SignUp:     "TestSignUpAgrees",
	access.SeeHooks:   "TestHooksAreManagedAsAgreed",
	access.AddHook:    "TestHooksAreManagedAsAgreed",
	access.RemoveHook: "TestHooksAreManagedAsAgreed",
}

// deeds are all requests that TestServerAgrees makes.
func deeds() []deed { return slices.Concat(ofServer, toAccounts()) }

// stepTypes are requests of all types that the tests of scenarios make.
func (w *world) stepTypes() (frames []frame) {
	by := asker{w, "mia"}
	for _, s := range slices.Concat(steps, last) {
		frames = append(frames, s.request(by, "ROOM"))
	}
	for _, c := range changes {
		f := w.act(c.what, "ROOM", "", c.more)
		f["target"] = 1
		frames = append(frames, f)
	}
	return append(frames,
		w.act("send", "ROOM", "", frame{"content": "x"}), frame{"type": "watch", "room": "ROOM"}, // checkSend
		frame{"type": "rooms"}, frame{"type": "search", "query": "x", "room": "ROOM"}) // checkList, TestSearchAgrees
}

// TestEveryCommandIsTried goes over all types of requests of kaban/1.
func TestEveryCommandIsTried(t *testing.T) {
	w := newWorld(t, lines{})
	tried, about := maps.Clone(otherCommands), make(map[string]bool)
	for _, f := range w.stepTypes() {
		tried[f["type"].(string)] = "a step"
	}
	all, makers := w.requestsAbout("ROOM")
	for _, f := range slices.Concat(all, makers) {
		if f["room"] != nil {
			about[f["type"].(string)] = true
		}
	}
	room, err := kaban.ParseRoomName("room")
	if err != nil {
		t.Fatal(err)
	}
	commands := make(map[string]bool)
	for kind := range wire.Type(255) {
		if !kind.IsRequest() {
			continue
		}
		name := kind.String()
		commands[name] = true
		if tried[name] == "" {
			t.Errorf("no test asks everybody for %s; make it a step", name)
		}
		request := wire.Request{Type: kind, Room: room}
		if takesRoom := strings.Contains(string(request.Append(nil)), `"room":"room"`); takesRoom && !about[name] {
			t.Errorf("no test compares %s of a hidden room with that of none; add it to requestsAbout", name)
		}
	}
	for name := range otherCommands {
		if !commands[name] {
			t.Errorf("there is no command %s", name)
		}
	}
}

// operation is an operation of the API in the OpenAPI document.
type operation struct {
	method, path string
	query, body  map[string]bool // the names of parameters and fields
}

func (o *operation) name() string { return o.method + " " + o.path }

// operations returns all operations of the API. The document has every route of the
// server but its own; package web sees to that.
func (w *world) operations() (all []operation) {
	w.t.Helper()
	type schema struct {
		Ref        string `json:"$ref"`
		Properties map[string]any
	}
	var document struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(w.request(make(http.Header), http.MethodGet, "/openapi.json", nil).body, &document); err != nil {
		w.t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, o := range methods {
			found := operation{strings.ToUpper(method), path, make(map[string]bool), make(map[string]bool)}
			for _, p := range o.Parameters {
				found.query[p.Name] = p.In == "query"
			}
			for _, content := range o.RequestBody.Content {
				s := content.Schema
				if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
					s = document.Components.Schemas[name]
				}
				for field := range s.Properties {
					found.body[field] = true
				}
			}
			all = append(all, found)
		}
	}
	if len(all) < 100 {
		w.t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

// is reports whether a request is of an operation, and how many parts of its path are
// parameters of it.
func (o *operation) is(method, path string) (free int, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	asked, has := strings.Split(path, "/"), strings.Split(o.path, "/")
	if method != o.method || len(asked) != len(has) {
		return 0, false
	}
	for i := range has {
		switch {
		case strings.HasPrefix(has[i], "{"):
			free++
		case has[i] != asked[i]:
			return 0, false
		}
	}
	return free, true
}

// find returns the operation of a request: of several the one that says most.
func (w *world) find(all []operation, method, path string) (found *operation) {
	w.t.Helper()
	least := 99
	for i := range all {
		if free, ok := all[i].is(method, path); ok && free < least {
			found, least = &all[i], free
		}
	}
	if found == nil {
		w.t.Fatalf("there is no operation %s %s", method, path)
	}
	return found
}

// TestEveryOperationIsTried goes over all operations of the API.
func TestEveryOperationIsTried(t *testing.T) {
	w := newWorld(t, api{})
	all := w.operations()
	tried := make(map[string]bool)
	for _, f := range w.stepTypes() {
		if offered[f["type"].(string)] != 0 {
			method, path, _ := asHTTP(f)
			tried[w.find(all, method, path).name()] = true
		}
	}
	for _, d := range deeds() {
		method, path, _ := strings.Cut(d.request, " ")
		tried[w.find(all, method, path).name()] = true
	}
	names := make(map[string]bool)
	for _, o := range all {
		names[o.name()] = true
		if reason := otherOperations[o.name()]; tried[o.name()] == (reason != "") {
			t.Errorf("%s is in a table: %t; it is tried elsewhere: %q; want one of both", o.name(), tried[o.name()], reason)
		}
	}
	for name := range otherOperations {
		if !names[name] {
			t.Errorf("there is no operation %s", name)
		}
	}
}

// TestEveryRoomIsCompared sees that a hidden room is compared with none wherever the API
// takes the name of a room: in the path, in the query and in the body.
func TestEveryRoomIsCompared(t *testing.T) {
	w := newWorld(t, api{})
	all := w.operations()
	compared := make(map[string]bool)
	for _, who := range []string{"mia", "vic"} {
		for _, c := range w.callsAbout(who) {
			o := w.find(all, c.method, c.path)
			path, query, _ := strings.Cut(c.path, "?")
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(path, "ROOM") {
				compared[o.name()+" path"] = true
			}
			for key := range values {
				if values.Get(key) == "ROOM" {
					compared[o.name()+" query "+key] = true
				}
			}
			for field, value := range c.body {
				if text, _ := json.Marshal(value); strings.Contains(string(text), "ROOM") {
					compared[o.name()+" body "+field] = true
				}
			}
		}
	}
	n := 0
	want := func(place string) {
		if n++; !compared[place] {
			t.Errorf("no test compares a hidden room with none in %s; make it a step, or add it to deedsAbout", place)
		}
	}
	for _, o := range all {
		if strings.Contains(o.path, "{room}") {
			want(o.name() + " path")
		}
		for _, field := range []string{"room", "rooms"} {
			if o.query[field] {
				want(o.name() + " query " + field)
			}
			if o.body[field] {
				want(o.name() + " body " + field)
			}
		}
	}
	t.Logf("%d places", n)
}

// TestEveryActionIsTried goes over all actions of package access.
func TestEveryActionIsTried(t *testing.T) {
	tried := make(map[access.Action]bool)
	for _, s := range slices.Concat(steps, last) {
		tried[s.action] = true
	}
	for _, c := range changes {
		tried[c.action] = true
	}
	for _, d := range deeds() {
		tried[d.action] = true
	}
	for _, action := range access.Actions() {
		if reason := otherActions[action]; tried[action] == (reason != "") {
			t.Errorf("%s is in a table: %t; it is tried elsewhere: %q; want one of both", action, tried[action], reason)
		}
	}
}
