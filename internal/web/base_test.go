package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"kaban/internal/web"
)

func TestParseBasePath(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "/": "", "/chat": "/chat", "/chat/": "/chat", "/a/b-c_d.e~1": "/a/b-c_d.e~1",
	} {
		if got, err := web.ParseBasePath(text); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"chat", "//chat", "/chat//", "/a//b", "/a/../b", "/.", "/..", "/a b", "/a?b", "/a#b", "/a%2fb", "/ä", "/a\\b", "/a\"b",
		"https://example.org/chat", "/" + strings.Repeat("a", 200),
	} {
		if got, err := web.ParseBasePath(text); err == nil {
			t.Errorf("%q is accepted as %q", text, got)
		}
	}
}

// Everything is below the base path, and only there; what a load balancer asks for is at
// the root, too.
func TestBasePath(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page at "+r.URL.Path) })
	f := start(t, web.Config{Page: page, BasePath: "/chat/"}, nil)
	for path, want := range map[string]string{
		"/chat/":             "200 page at /",
		"/chat/r/lobby":      "200 page at /r/lobby",
		"/chat/a%2Fb":        "200 page at /a/b",
		"/chat/v1/server":    "200 {",
		"/chat/openapi.json": `200 {`,
		"/chat/v1/nothing":   "404 {",
		"/chat/readyz":       "200 ",
		"/readyz":            "200 ",
		"/healthz":           "200 ",
		"/chat":              "308 /chat/",
		"/":                  "404 {",
		"/v1/server":         "404 {",
		"/chatter/":          "404 {",
		"/Chat/":             "404 {",
		"/chat/../v1/server": "200 page at /../v1/server",
	} {
		response, err := f.client.Get(f.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := fmt.Sprint(response.StatusCode, " ", response.Header.Get("Location"), string(body)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.80q, want %q", path, got, want)
		}
		if path == "/chat/v1/nothing" && !strings.Contains(string(body), "here; /chat/openapi.json says") {
			t.Errorf("what is not there names another document: %s", body)
		}
		if path == "/chat/openapi.json" && !strings.Contains(string(body), `"url": "/chat"`) {
			t.Error("the OpenAPI document does not name the base path")
		}
	}
	if got := f.web.InviteLink("secret"); got != f.url+"/chat/invite#secret" {
		t.Errorf("the link of an invite is %s", got)
	}
	for next, want := range map[string]string{"": "/chat/", "/chat/r/lobby": "/chat/r/lobby", "/r/lobby": "/chat/", "//chat/": "/chat/", "/chatter/": "/chat/"} {
		if got := f.web.LocalPath(next); got != want {
			t.Errorf("after a sign-in to %q the browser goes to %q, want %q", next, got, want)
		}
	}
}
