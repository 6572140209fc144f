package browser

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBelowAPath uses the page through a proxy that serves it below a path, which it
// strips: rooms, links, reloads, and opening the page offline.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "in the team")
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux() // it redirects /some/chat to /some/chat/, as proxies do
	mux.Handle("/some/chat/", http.StripPrefix("/some/chat", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the page's origin; whose the request was, it does not say
	}}))
	proxy := httptest.NewServer(mux)
	defer proxy.Close()
	between := startLink(t, proxy.URL)
	p := newPage(t, desktop)
	p.join(between.url()+"/some/chat", "alice")
	p.until(`location.pathname === '/some/chat/r/lobby'`)
	p.say("said below a path")
	p.stored("said below a path")
	p.visit("team")
	p.until(`location.pathname === '/some/chat/r/team'`)
	p.sees("in the team")
	p.run(chromedp.Reload())
	p.online()
	p.sees("in the team")
	p.until(`[...document.querySelectorAll('a[href*="/r/"]')].every((a) => a.pathname.startsWith('/some/chat/r/'))`)
	p.until(`[...document.querySelectorAll('link:not([rel=stylesheet])')].every((l) => new URL(l.href).pathname.startsWith('/some/chat/') && !l.href.includes('/r/'))`)
	p.run(chromedp.NavigateBack())
	p.sees("said below a path")
	p.until(`navigator.serviceWorker.controller`)
	p.until(`navigator.serviceWorker.controller.scriptURL.endsWith('/some/chat/sw.js')`)
	p.expectBreaks()
	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	p.say("kept over a reload")
	p.run(chromedp.Reload())
	p.until(`document.querySelector('.pending .content')?.innerText === 'kept over a reload'`)
}
