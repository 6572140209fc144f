package preview

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/guard"
	"kaban/internal/limit"
)

// site plays all hosts of the web, in the time of a synctest bubble.
type site struct {
	serve func(*http.Request) *http.Response

	mu    sync.Mutex
	asked []string // in order
	hosts map[string]int
	now   int // requests without an answer
	most  int
	twice bool // two requests to a host at a time
}

func (s *site) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req.URL.String())
	s.now++
	s.most = max(s.most, s.now)
	s.hosts[req.URL.Host]++
	s.twice = s.twice || s.hosts[req.URL.Host] > 1
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.hosts[req.URL.Host]--
		s.mu.Unlock()
	}()
	resp := s.serve(req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

func (s *site) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// answer returns a response with a page.
func answer(page string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Body:       io.NopCloser(strings.NewReader(page)),
	}
}

func titled(req *http.Request) *http.Response {
	return answer("<title>" + req.URL.Host + req.URL.Path + "</title>")
}

// newFetcher returns a Fetcher of pages of a site. Call close at the end of the bubble.
func newFetcher(t *testing.T, o Options, serve func(*http.Request) *http.Response) (f *Fetcher, s *site) {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s = &site{serve: serve, hosts: make(map[string]int)}
	f.client.Transport = s
	return f, s
}

// bubble runs a test in time that does not pass by itself.
func bubble(t *testing.T, o Options, serve func(*http.Request) *http.Response, test func(t *testing.T, f *Fetcher, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFetcher(t, o, serve)
		defer f.Close()
		test(t, f, s)
	})
}

func sleep(req *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-req.Context().Done():
	}
}

// However many people send a link, and however they write it, its page is read once.
func TestOneReadForAll(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	bubble(t, Options{}, slow, func(t *testing.T, f *Fetcher, s *site) {
		links := []string{"https://a.example/b", "https://A.example:443/b#c", "https://a.example/b#d"}
		var fetches sync.WaitGroup
		for i := range 1000 {
			fetches.Go(func() {
				p, err := f.Fetch(t.Context(), limit.Key(i+1), links[i%len(links)])
				if err != nil || p.Title != "a.example/b" || p.URL != "https://a.example/b" {
					t.Errorf("%+v, %v", p, err)
				}
			})
		}
		fetches.Wait()
		begin := time.Now()
		if _, err := f.Fetch(t.Context(), 0, links[0]); err != nil || !time.Now().Equal(begin) {
			t.Errorf("from memory: %v", err)
		}
		if s.times() != 1 {
			t.Errorf("read %d times", s.times())
		}
	})
}

// Results are forgotten after a time, failures sooner.
func TestMemory(t *testing.T) {
	fails := false
	serve := func(req *http.Request) *http.Response {
		resp := titled(req)
		if fails {
			resp.StatusCode = http.StatusNotFound
		}
		return resp
	}
	bubble(t, Options{Keep: time.Hour, Forget: time.Minute}, serve, func(t *testing.T, f *Fetcher, s *site) {
		want := func(what, link string, reads int, fails bool) {
			t.Helper()
			_, err := f.Fetch(t.Context(), 0, link)
			e, failed := errors.AsType[*StatusError](err)
			if s.times() != reads || failed != fails || failed && e.Status != http.StatusNotFound {
				t.Errorf("%s: %v after %d reads, want %d", what, err, s.times(), reads)
			}
		}
		want("at first", "https://a.example", 1, false)
		time.Sleep(time.Hour - time.Millisecond)
		want("before the hour", "https://a.example", 1, false)
		time.Sleep(time.Millisecond)
		want("after the hour", "https://a.example", 2, false)
		fails = true
		want("a failure", "https://b.example", 3, true)
		time.Sleep(time.Minute - time.Millisecond)
		want("before the minute", "https://b.example", 3, true)
		fails = false
		time.Sleep(time.Millisecond)
		want("after the minute", "https://b.example", 4, false)
		want("a preview", "https://a.example", 4, false)
		if err := f.Allow(nil); err != nil {
			t.Error(err)
		}
		want("after a change of the list", "https://a.example", 5, false)
	})
}

// The memory is bounded: what was not used for longest goes.
func TestMemoryIsBounded(t *testing.T) {
	bubble(t, Options{Cached: 3}, titled, func(t *testing.T, f *Fetcher, s *site) {
		for _, host := range []string{"a", "b", "c", "a", "d", "a", "c", "d", "b"} {
			if _, err := f.Fetch(t.Context(), 0, "https://"+host+".example"); err != nil {
				t.Error(err)
			}
		}
		want := "https://a.example/ https://b.example/ https://c.example/ https://d.example/ https://b.example/"
		if got := strings.Join(s.asked, " "); got != want {
			t.Errorf("read %s, want %s", got, want)
		}
		if n, m := len(f.cache.entries), f.cache.results.Len(); n != 3 || m != 3 {
			t.Errorf("%d entries, %d results are kept", n, m)
		}
	})
}

// A result that comes while the memory is cleared is not remembered.
func TestAllowDuringARead(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	bubble(t, Options{}, slow, func(t *testing.T, f *Fetcher, s *site) {
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := f.Fetch(t.Context(), 0, "https://a.example"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := f.Allow(nil); err != nil {
			t.Error(err)
		}
		first.Wait()
		if n := f.cache.results.Len(); n != 0 {
			t.Errorf("%d results are kept", n)
		}
		if _, err := f.Fetch(t.Context(), 0, "https://a.example"); err != nil || s.times() != 2 {
			t.Errorf("%v after %d reads", err, s.times())
		}
	})
}

// What was read for a message is forgotten with it, also if it comes later, and only that.
func TestForget(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	bubble(t, Options{}, slow, func(t *testing.T, f *Fetcher, s *site) {
		fetch := func(seq uint64, host string) {
			if _, err := f.FetchFor(t.Context(), Message{"lobby", seq}, 0, "https://"+host+".example"); err != nil {
				t.Error(err)
			}
		}
		want := func(what, hosts string) {
			t.Helper()
			var have []string
			for key := range f.cache.entries {
				have = append(have, string(strings.TrimPrefix(key, "https://")[0]))
			}
			slices.Sort(have)
			if got := strings.Join(have, ""); got != hosts || f.cache.results.Len() != len(hosts) {
				t.Errorf("%s: %q is kept, and %d results, want %q", what, got, f.cache.results.Len(), hosts)
			}
		}
		for seq, host := range []string{"z", "a", "b", "c", "d", "a"} {
			fetch(uint64(seq), host)
		}
		f.Forget("attic", 0, 9)
		f.Forget("lobby", 9, 9)
		want("another room, another message", "abcdz")
		f.Forget("lobby", 5, 5)
		want("one of two messages", "abcdz")
		f.Forget("lobby", 0, 3)
		want("the oldest ones", "d")
		if n := len(f.cache.rooms["lobby"]); n != 1 {
			t.Errorf("%d messages are kept", n)
		}
		var late sync.WaitGroup
		late.Go(func() { fetch(6, "e") })
		synctest.Wait()
		f.Forget("lobby", 6, 6)
		late.Wait()
		want("while it is read", "d")
		late.Go(func() { fetch(7, "f") })
		late.Go(func() { fetch(8, "f") })
		synctest.Wait()
		f.Forget("lobby", 7, 7)
		late.Wait()
		want("one of two while it is read", "df")
		f.Forget("lobby", 8, 8)
		f.Forget("lobby", 4, 4)
		if n := len(f.cache.rooms); n != 0 {
			t.Errorf("messages of %d rooms are kept", n)
		}
	})
}

// Results that go by themselves leave nothing about their messages.
func TestMessagesAreBounded(t *testing.T) {
	bubble(t, Options{Cached: 3}, titled, func(t *testing.T, f *Fetcher, s *site) {
		for i := range 10 {
			if _, err := f.FetchFor(t.Context(), Message{"lobby", uint64(i)}, 0, fmt.Sprintf("https://a%d.example", i)); err != nil {
				t.Error(err)
			}
		}
		if n := len(f.cache.rooms["lobby"]); n != 3 {
			t.Errorf("%d messages are kept of 3 results", n)
		}
	})
}

// A page is read once for however many messages. It is forgotten with any that may be the last.
func TestPagesOfManyMessages(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	room := func(n int) string { return fmt.Sprint("room", n) }
	for name, c := range map[string]struct {
		rooms  int // that have the messages, which are one more than are listed for each
		forget func(f *Fetcher)
		reads  int // when it is asked for again
	}{
		"another message":         {1, func(f *Fetcher) { f.Forget("other", 1, 1) }, 1},
		"one that is listed":      {1, func(f *Fetcher) { f.Forget(room(0), 0, 0) }, 2},
		"one that is not listed":  {1, func(f *Fetcher) { f.Forget(room(0), maxMessages, maxMessages) }, 2},
		"of the last room":        {maxMessages + 1, func(f *Fetcher) { f.Forget(room(maxMessages), 1, 2) }, 2},
		"a room with none listed": {2, func(f *Fetcher) { f.Forget(room(1), 1, 2) }, 2},
		"networks":                {2, func(f *Fetcher) { f.cache.clear() }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, slow, func(t *testing.T, f *Fetcher, s *site) {
				var all sync.WaitGroup
				fetch := func(m Message) {
					if _, err := f.FetchFor(t.Context(), m, 0, "https://same.example"); err != nil {
						t.Error(err)
					}
				}
				for n := range c.rooms {
					for i := range maxMessages + 1 {
						all.Go(func() { fetch(Message{room(n), uint64(i)}) })
					}
					synctest.Wait() // while it is read
				}
				all.Wait()
				listed := 0
				for _, of := range f.cache.rooms {
					listed += len(of)
				}
				if got := s.times(); got != 1 || listed != maxMessages {
					t.Errorf("it was read %d times, and has %d messages", got, listed)
				}
				c.forget(f)
				fetch(Message{"later", 1})
				if got := s.times(); got != c.reads {
					t.Errorf("it was read %d times, want %d", got, c.reads)
				}
				if len(f.cache.crowded) != 2-c.reads {
					t.Errorf("%d entries are in too many messages", len(f.cache.crowded))
				}
			})
		})
	}
}

// Who gives up waiting stops nobody else.
func TestGivingUp(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, 2*time.Second); return titled(req) }
	bubble(t, Options{}, slow, func(t *testing.T, f *Fetcher, s *site) {
		var others sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		others.Go(func() {
			if _, err := f.Fetch(ctx, 0, "https://a.example"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first: %v", err)
			}
		})
		synctest.Wait()
		if _, err := f.Fetch(t.Context(), 0, "https://a.example"); err != nil {
			t.Errorf("the second: %v", err)
		}
		others.Wait()
	})
}

// A page has 5 s, and then it failed, for a while.
func TestSlowPages(t *testing.T) {
	type dribble struct {
		io.Reader
		io.Closer
	}
	serve := func(req *http.Request) *http.Response {
		if req.URL.Path == "/silent" {
			<-req.Context().Done()
		}
		resp := answer("")
		resp.Body = dribble{readerFunc(func(p []byte) (int, error) {
			sleep(req, 100*time.Millisecond)
			p[0] = ' '
			return 1, req.Context().Err()
		}), io.NopCloser(nil)}
		return resp
	}
	bubble(t, Options{}, serve, func(t *testing.T, f *Fetcher, s *site) {
		for i, link := range []string{"https://a.example/silent", "https://a.example/slow"} {
			for n := range 2 {
				begin := time.Now()
				_, err := f.Fetch(t.Context(), 0, link)
				took := time.Since(begin)
				if e, ok := errors.AsType[interface {
					error
					Timeout() bool
				}](err); !ok || !e.Timeout() || n == 0 && took != timeout || n == 1 && took != 0 || s.times() != i+1 {
					t.Errorf("%s: after %v and %d reads: %v", link, took, s.times(), err)
				}
				if strings.Contains(err.Error(), "a.example") {
					t.Errorf("the error has the URL: %v", err)
				}
			}
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A few pages are read at a time, one of each host, one for each author.
func TestBounds(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	run := func(name string, want time.Duration, most int, link func(i int) string, author func(i int) limit.Key) {
		bubble(t, Options{AtOnce: 4}, slow, func(t *testing.T, f *Fetcher, s *site) {
			begin := time.Now()
			var fetches sync.WaitGroup
			for i := range 6 {
				fetches.Go(func() {
					if _, err := f.Fetch(t.Context(), author(i), link(i)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			fetches.Wait()
			if took := time.Since(begin); took != want || s.most != most || s.twice {
				t.Errorf("%s: %v, %d at a time, one host twice: %v; want %v, %d", name, took, s.most, s.twice, want, most)
			}
		})
	}
	nobody := func(int) limit.Key { return 0 }
	run("six hosts", 2*time.Second, 4, func(i int) string { return fmt.Sprintf("https://h%d.example/", i) }, nobody)
	run("one host", 6*time.Second, 1, func(i int) string { return fmt.Sprintf("https://a.example/%d", i) }, nobody)
	run("one author", 6*time.Second, 1, func(i int) string { return fmt.Sprintf("https://h%d.example/", i) }, func(int) limit.Key { return 7 })
}

// Somebody with links to many slow hosts keeps nobody else waiting for more than one of them.
func TestAuthorsGetTheirTurns(t *testing.T) {
	serve := func(req *http.Request) *http.Response {
		if strings.HasPrefix(req.URL.Host, "slow") {
			<-req.Context().Done()
		}
		return titled(req)
	}
	bubble(t, Options{AtOnce: 1}, serve, func(t *testing.T, f *Fetcher, s *site) {
		var others sync.WaitGroup
		for i := range waitingOfAuthor + 1 {
			others.Go(func() { _, _ = f.Fetch(t.Context(), 1, fmt.Sprintf("https://slow%d.example/", i)) })
			synctest.Wait()
		}
		begin := time.Now()
		if _, err := f.Fetch(t.Context(), 2, "https://a.example"); err != nil || time.Since(begin) > timeout {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		others.Wait()
	})
}

// What waits is bounded: for an author, for a host and in all. A refusal is not remembered.
func TestBusy(t *testing.T) {
	slow := func(req *http.Request) *http.Response { sleep(req, time.Second); return titled(req) }
	for _, test := range []struct {
		name   string
		most   int // that are read or wait
		link   func(i int) string
		author limit.Key
	}{
		{"author", 1 + waitingOfAuthor, func(i int) string { return fmt.Sprintf("https://h%d.example/", i) }, 7},
		{"host", 1 + waitingOfHost, func(i int) string { return fmt.Sprintf("https://a.example/%d", i) }, 0},
		{"all", 20, func(i int) string { return fmt.Sprintf("https://h%d.example/", i) }, 0},
	} {
		bubble(t, Options{Waiting: 20}, slow, func(t *testing.T, f *Fetcher, s *site) {
			var others sync.WaitGroup
			for i := range test.most {
				others.Go(func() {
					if _, err := f.Fetch(t.Context(), test.author, test.link(i)); err != nil {
						t.Errorf("%s %d: %v", test.name, i, err)
					}
				})
			}
			synctest.Wait()
			begin := time.Now()
			if _, err := f.Fetch(t.Context(), test.author, test.link(99)); !errors.Is(err, ErrBusy) || !time.Now().Equal(begin) {
				t.Errorf("%s: one too many: %v", test.name, err)
			}
			others.Wait()
			if _, err := f.Fetch(t.Context(), test.author, test.link(99)); err != nil {
				t.Errorf("%s: later: %v", test.name, err)
			}
		})
	}
}

// Nothing waits for its turn for ever.
func TestWaitingEnds(t *testing.T) {
	silent := func(req *http.Request) *http.Response { <-req.Context().Done(); return titled(req) }
	o := Options{AtOnce: 1, Guard: guard.Options{Timeout: time.Hour}}
	bubble(t, o, silent, func(t *testing.T, f *Fetcher, s *site) {
		var first sync.WaitGroup
		first.Go(func() { _, _ = f.Fetch(t.Context(), 0, "https://a.example") })
		synctest.Wait()
		begin := time.Now()
		if _, err := f.Fetch(t.Context(), 0, "https://b.example"); !errors.Is(err, ErrBusy) || time.Since(begin) != maxWait {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		f.Close()
		first.Wait()
	})
}

// Close ends reading at once, and waits for it.
func TestClose(t *testing.T) {
	silent := func(req *http.Request) *http.Response {
		<-req.Context().Done()
		time.Sleep(time.Second) // to end
		return titled(req)
	}
	bubble(t, Options{}, silent, func(t *testing.T, f *Fetcher, s *site) {
		failed := make(chan error, 1)
		go func() {
			_, err := f.Fetch(t.Context(), 0, "https://a.example")
			failed <- err
		}()
		synctest.Wait()
		begin := time.Now()
		f.Close()
		if s.now != 0 || time.Since(begin) != time.Second {
			t.Errorf("%d reads go on after %v", s.now, time.Since(begin))
		}
		if err := <-failed; err == nil {
			t.Error("a read has a result")
		}
		if _, err := f.Fetch(t.Context(), 0, "https://b.example"); err == nil || s.times() != 1 {
			t.Errorf("after the end: %v, %d reads", err, s.times())
		}
		f.Close()
	})
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// pages are what a server of the tests has, by path.
func pages(w http.ResponseWriter, r *http.Request) {
	page := []byte(`<title>Here</title><meta property="og:image" content="p.png">`)
	w.Header().Set("Content-Type", "text/html")
	switch r.URL.Path {
	case "/header":
		page = fmt.Appendf(nil, "<title>%s|%s|%s|%s</title>", r.UserAgent(), r.Header.Get("Accept"), r.Referer(), r.Header.Get("Cookie"))
	case "/cookie":
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		http.Redirect(w, r, "/header", http.StatusFound)
		return
	case "/redirect":
		http.Redirect(w, r, "/deep/page?a=b#c", http.StatusMovedPermanently)
		return
	case "/private":
		http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		return
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
		return
	case "/xhtml":
		w.Header().Set("Content-Type", "application/xhtml+xml; charset=utf-8")
	case "/text":
		w.Header().Set("Content-Type", "text/plain")
	case "/none":
		w.Header()["Content-Type"] = nil
	case "/brotli":
		w.Header().Set("Content-Encoding", "br")
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		page = gzipped(page)
	case "/bomb": // in the head, before the title
		w.Header().Set("Content-Encoding", "gzip")
		page = gzipped(append(make([]byte, 3<<19), page...))
	case "/late-bomb": // 1.5 MiB after what counts
		w.Header().Set("Content-Encoding", "gzip")
		page = gzipped(append(page, make([]byte, 3<<19)...))
	case "/talkative":
		w.Header().Set("Content-Type", "x/"+strings.Repeat("y", 20_000))
	case "/shouting":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 " + strings.Repeat("z", 20_000) + "\r\n\r\n"))
		return
	case "/gone":
		w.WriteHeader(http.StatusGone)
	case "/untitled":
		page = []byte("<p>Text")
	case "/endless":
		_, _ = w.Write(page)
		for more := bytes.Repeat([]byte("<meta name=x>"), 1000); ; {
			if _, err := w.Write(more); err != nil {
				return
			}
		}
	}
	_, _ = w.Write(page)
}

// Pages of a real server, through the real guard.
func TestThroughTheGuard(t *testing.T) {
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		pages(w, r)
	}))
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(address.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Options{Guard: guard.Options{
		Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{uint16(port), 80},
		Timeout: time.Minute, // the limit of time has its own test
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	here := func(path string) Preview {
		u := server.URL + path
		return Preview{URL: u, Title: "Here", Picture: u[:strings.LastIndex(u, "/")+1] + "p.png"}
	}
	for path, want := range map[string]Preview{
		"/": here("/"), "/gzip": here("/gzip"), "/xhtml": here("/xhtml"), "/late-bomb": here("/late-bomb"), "/endless": here("/endless"),
		"/redirect": {URL: server.URL + "/deep/page?a=b", Title: "Here", Picture: server.URL + "/deep/p.png"},
		"/cookie":   {URL: server.URL + "/header", Title: DefaultUserAgent + "|text/html, application/xhtml+xml||"},
	} {
		if p, err := f.Fetch(t.Context(), 0, server.URL+path); err != nil || p != want {
			t.Errorf("%s: %+v, %v, want %+v", path, p, err, want)
		}
	}
	is := map[string]func(error) bool{
		"/text":     isError[*TypeError],
		"/none":     isError[*TypeError],
		"/brotli":   isError[*TypeError],
		"/gone":     isError[*StatusError],
		"/private":  isError[*guard.BlockedError],
		"/loop":     isError[*guard.RedirectError],
		"/untitled": func(err error) bool { return errors.Is(err, ErrNoTitle) },
		"/bomb":     func(err error) bool { return errors.Is(err, ErrNoTitle) },
		// What is remembered of a failure is short, whatever a server says.
		"/talkative": func(err error) bool {
			e, ok := errors.AsType[*TypeError](err)
			return ok && len(e.ContentType) == maxError/2
		},
		"/shouting": func(err error) bool { return strings.Contains(err.Error(), "zzz") && len(err.Error()) <= maxError },
	}
	for path, is := range is {
		if p, err := f.Fetch(t.Context(), 0, server.URL+path); err == nil || !is(err) || strings.Contains(err.Error(), server.URL) || p != (Preview{}) {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	before := hits.Load()
	if err := f.Allow(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), 0, server.URL); !isError[*guard.BlockedError](err) || hits.Load() != before {
		t.Errorf("not allowed any more: %v", err)
	}
}

func isError[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// The limits are those that the documentation has.
func TestLimits(t *testing.T) {
	var o Options
	o.fill()
	if g := o.Guard; g.MaxBody != 1<<20 || g.Timeout != 5*time.Second || g.Redirects != 3 || g.UserAgent != DefaultUserAgent {
		t.Errorf("the limits are %+v", g)
	}
	_, err := New(Options{Guard: guard.Options{Conns: -1}})
	if !isError[*guard.OptionError](err) {
		t.Errorf("a bad option: %v", err)
	}
	f, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Allow([]netip.Prefix{{}}); !isError[*guard.OptionError](err) {
		t.Errorf("a bad list: %v", err)
	}
	if _, err := f.Fetch(t.Context(), 0, "ftp://a.example"); !isError[*URLError](err) {
		t.Errorf("a bad link: %v", err)
	}
}
