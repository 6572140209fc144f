package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kaban/client/transfer"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/guard"
	"kaban/internal/store/storetest"
)

// pagesOf serves a page for each path, and counts the requests.
func pagesOf(t *testing.T) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<title>Page %s</title><meta name="description" content="About it"><meta property="og:site_name" content="Site"><meta property="og:image" content="/p.png">`, r.URL.Path)
	}))
	t.Cleanup(site.Close)
	return site.URL, requests
}

// reachable lets previews reach an address of this machine.
func reachable(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	guarded(t, guard.Options{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{uint16(port)}})
}

// guarded changes the options of the guard for a test.
func guarded(t *testing.T, options guard.Options) {
	t.Helper()
	before := previewGuard
	previewGuard = options
	t.Cleanup(func() { previewGuard = before })
}

func openPreviews(t *testing.T) *previews {
	t.Helper()
	p, err := newPreviews(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// The pages of a text have previews in the order of its links, without those that have none. Pictures are
// neither read nor named.
func TestPreviewsOfAText(t *testing.T) {
	site, requests := pagesOf(t)
	reachable(t, site)
	p := openPreviews(t)
	text := strings.ReplaceAll("see SITE/b and SITE/none, SITE/a, not <SITE/c> or `SITE/d`\n> SITE/e", "SITE", site)
	page := func(path string) service.Preview {
		return service.Preview{URL: site + path, Title: "Page " + path, Description: "About it", Site: "Site"}
	}
	lobby := storetest.RoomName(t, "lobby")
	m := service.Linking{Room: lobby, Seq: 7, Author: 1, Content: text}
	for range 2 { // the second time from memory
		if got, want := p.Previews(t.Context(), m), []service.Preview{page("/b"), page("/a")}; !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if requests.Load() != 3 {
		t.Errorf("%d requests", requests.Load())
	}
	p.Forget(lobby, 7, 7)
	if p.Previews(t.Context(), m); requests.Load() != 6 {
		t.Errorf("%d requests after the message has gone", requests.Load())
	}
}

// The program itself reaches no address of its own network, and takes the same time for all that it does
// not reach.
func TestPreviewsReachNothingPrivate(t *testing.T) {
	if o := previewGuard; o.Allowed != nil || o.Ports != nil || o.Resolver != nil || o.RootCAs != nil || o.DialTimeout <= 0 || o.FailAfter < o.DialTimeout {
		t.Errorf("pages are read through %+v", o)
	}
	guarded(t, guard.Options{}) // at once
	site, requests := pagesOf(t)
	if got := openPreviews(t).Previews(t.Context(), service.Linking{Author: 1, Content: site + "/a"}); got != nil || requests.Load() != 0 {
		t.Errorf("%+v after %d requests", got, requests.Load())
	}
}

// A line about a page begins with its host, whatever it says it is.
func TestPreviewLine(t *testing.T) {
	for want, p := range map[string]transfer.Preview{
		"real.example: Bank (bank.example) – Sign in": {URL: "https://real.example/x", Title: "Bank", Site: "bank.example", Description: "Sign in"},
		"a.example:8080: A":                           {URL: "http://a.example:8080/", Title: "A"},
	} {
		if got := previewLine(&p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
