package product

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"kaban"
	"kaban/internal/access"
	"kaban/wire"
)

// api is the HTTP API, with a token by default. Somebody without either is a visitor.
type api struct {
	cookie bool // instead of a token
}

// offered are the steps that the API has.
var offered = map[string]forWhom{
	"state": anybody, "history": anybody, "members": anybody, "watch": anybody, "rooms": anybody, "search": anybody,
	"send": speakers, "edit": speakers, "delete": speakers, "react": speakers, "pin": speakers,
	"read": accounts, "unread": accounts, "restricted": accounts, "retention": accounts, "too old": accounts, "appoint": accounts,
}

// forWhom is for whom a request of the API is.
type forWhom uint8

const (
	anybody  forWhom = iota + 1
	speakers         // anybody, and a visitor says under which name
	accounts         // no visitor, whatever the server admits
)

func (api) offers(what string, action access.Action) (access.Action, bool) {
	if what == "send" {
		action = access.Post
	}
	return action, offered[what] != 0
}

// sees: nobody is in a room by a request, and only what is written has the name of a visitor.
func (api) sees(s *scenario, f *access.Facts, what string) {
	switch offered[what] {
	case anybody:
		if s.role == kaban.RoleVisitor {
			f.Who.Named, f.Membership.Standing = false, access.Good
		}
	case accounts: // to which a visitor is as one that the server does not admit
		if s.role == kaban.RoleVisitor {
			f.Server.Admission = access.InviteOnly
		}
	}
}

func (a api) has(s *scenario) bool {
	if s.role == kaban.RoleVisitor {
		return s.rank == 0
	}
	return !a.cookie || s.credential == device
}

func (api) subscribes() bool { return false }

func (a api) answer(w *world, as string, f frame) frame {
	w.t.Helper()
	what, _ := f["type"].(string)
	method, path, body := asHTTP(f)
	path, body = w.sign(as, what, method, path, body)
	return w.request(a.credential(w, as), method, path, body).frame(w)
}

// sign adds the name of a visitor to a request that wants it.
func (w *world) sign(as, what, method, path string, body frame) (string, frame) {
	switch isVisitor := w.tokens[as] == "" && offered[what] == speakers; {
	case isVisitor && body != nil:
		body["username"] = as
	case isVisitor && method != http.MethodGet:
		path += "&username=" + url.QueryEscape(as)
	}
	return path, body
}

// credential returns the header that shows who makes a request.
func (a api) credential(w *world, as string) http.Header {
	h := make(http.Header)
	switch {
	case a.cookie && w.cookies[as] != "":
		h.Set("Cookie", "kaban="+w.cookies[as])
		h.Set("Origin", w.url)
	case w.tokens[as] != "":
		h.Set("Authorization", "Bearer "+w.tokens[as])
	}
	return h
}

// asHTTP returns a frame as a request of the API.
func asHTTP(f frame) (method, path string, body frame) {
	room, _ := f["room"].(string)
	path = "/v1/rooms/" + url.PathEscape(room)
	switch f["type"] {
	case "history":
		return http.MethodGet, path + "/messages", nil
	case "members":
		return http.MethodGet, path + "/members", nil
	case "search":
		query, _ := f["query"].(string)
		path = "/v1/search?query=" + url.QueryEscape(query)
		if room != "" {
			path += "&room=" + url.QueryEscape(room)
		}
		return http.MethodGet, path, nil
	case "inbox":
		return http.MethodGet, "/v1/inbox", nil
	case "watch":
		return http.MethodGet, path + "/events", nil
	case "read", "unread":
		return http.MethodPut, fmt.Sprint(path, "/", f["type"]), frame{"seq": f["seq"]}
	case "restricted":
		return http.MethodGet, path + "/restricted", nil
	case "retention":
		return http.MethodPut, "/v1/admin/rooms/" + url.PathEscape(room) + "/retention", frame{"value": "forever"}
	case "too old":
		return http.MethodGet, "/v1/admin/retention?value=90d&room=" + url.QueryEscape(room), nil
	case "appoint":
		return http.MethodPut, "/v1/admin/rooms/" + url.PathEscape(room) + "/op", frame{"username": f["username"]}
	case "rooms":
		after, _ := f["after"].(string)
		return http.MethodGet, "/v1/rooms?limit=1&after=" + url.QueryEscape(after), nil
	case "send":
		body = frame{"id": f["id"], "content": f["content"]}
		if to, ok := f["reply_to"]; ok {
			body["reply_to"] = to
		}
		return http.MethodPost, path + "/messages", body
	}
	if f["target"] != nil {
		return asHTTPChange(f, path)
	}
	return http.MethodGet, path, nil
}

// asHTTPChange is asHTTP for a change of a message of the room with a path.
func asHTTPChange(f frame, path string) (method, of string, body frame) {
	of = fmt.Sprintf("%s/messages/%v", path, f["target"])
	id := fmt.Sprint("?id=", f["id"])
	method = http.MethodDelete
	if on, _ := f["on"].(bool); on {
		method = http.MethodPut
	}
	switch f["type"] {
	case "edit":
		return http.MethodPatch, of, frame{"id": f["id"], "content": f["content"]}
	case "react":
		return method, of + "/reactions/" + url.PathEscape(fmt.Sprint(f["emoji"])) + id, nil
	case "pin":
		return method, of + "/pin" + id, nil
	}
	return method, of + id + "&reason=" + url.QueryEscape(fmt.Sprint(f["reason"])), nil
}

// reply is the answer to a request.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// request makes a request. Of a stream it reads nothing.
func (w *world) request(h http.Header, method, path string, body any) *reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, w.body(h, body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = h
	a, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Body.Close()
	got := &reply{status: a.StatusCode, header: a.Header}
	if a.Header.Get("Content-Type") == "text/event-stream" {
		return got
	}
	if got.body, err = io.ReadAll(a.Body); err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) body(h http.Header, body any) io.Reader {
	w.t.Helper()
	if body == nil {
		return http.NoBody
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	h.Set("Content-Type", "application/json")
	return bytes.NewReader(text)
}

// operate makes a request over the admin socket.
func (w *world) operate(method, path string, body any) *reply {
	w.t.Helper()
	h := make(http.Header)
	r := httptest.NewRequest(method, path, w.body(h, body))
	r.Header = h
	recorder := httptest.NewRecorder()
	w.web.OperatorHandler().ServeHTTP(recorder, r)
	return &reply{recorder.Code, recorder.Header(), recorder.Body.Bytes()}
}

// frame returns a reply as kaban/1 would have it, and checks that its status is that of
// its code.
func (a *reply) frame(w *world) frame {
	w.t.Helper()
	f := make(frame)
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &f); err != nil {
			w.t.Fatalf("%d: %q: %v", a.status, a.body, err)
		}
	}
	if a.status < 300 {
		return f
	}
	f["type"] = "error"
	code, _ := f["code"].(string)
	if code == "" || wire.Code(code).Status() != a.status {
		w.t.Errorf("the status is %d: %s", a.status, a.body)
	}
	return f
}

// code returns the code of a reply, or "" if it is no error.
func (a *reply) code(w *world) string {
	w.t.Helper()
	return a.frame(w).code()
}
