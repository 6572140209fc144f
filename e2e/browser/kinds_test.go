package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	webpage "kaban/internal/web/page"
)

// frame is a frame of kaban/1, of a type that need not exist.
type frame = map[string]any

// kinds is a server of one room with a log that has more than messages in it: what
// a later version of the protocol looks like to the page of this one.
type kinds struct {
	t       testing.TB
	folds   bool // pages of history leave out what is no message
	url     string
	serving sync.WaitGroup
	mu      sync.Mutex // guards all below
	log     []frame    // seq n is log[n-1]
	conns   map[io.Writer]func() error
	joined  map[io.Writer]bool
	joins   []float64 // what each join had as after; -1 for none
	away    bool      // connections are refused
	pages   int       // that were asked for
	// onPage, if it is set, may change a page of history before it is sent.
	onPage func(conn io.Writer, answer frame)
}

func startKinds(t testing.TB, folds bool) *kinds {
	t.Helper()
	k := &kinds{t: t, folds: folds, conns: make(map[io.Writer]func() error), joined: make(map[io.Writer]bool)}
	mux := http.NewServeMux()
	mux.Handle("/", webpage.Handler())
	takeVisitors(mux)
	mux.HandleFunc("/v1/socket", func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		away := k.away
		k.mu.Unlock()
		if away {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		k.mu.Lock()
		k.conns[conn] = conn.Close
		k.mu.Unlock()
		k.serving.Go(func() {
			defer func() {
				k.mu.Lock()
				delete(k.conns, conn)
				delete(k.joined, conn)
				k.mu.Unlock()
				conn.Close()
			}()
			for {
				data, err := wsutil.ReadClientText(conn)
				if err != nil {
					return
				}
				var request frame
				if err := json.Unmarshal(data, &request); err != nil {
					t.Error(err)
				}
				k.answer(conn, request)
			}
		})
	})
	server := httptest.NewServer(mux)
	k.url = server.URL
	t.Cleanup(func() {
		k.leave()
		within(t, "ending the server of kinds", func() {
			server.Close()
			k.serving.Wait()
		})
	})
	return k
}

// give sends a frame to a page. An error means that the page has gone.
func (k *kinds) give(to io.Writer, f frame) {
	data, err := json.Marshal(f)
	if err != nil {
		k.t.Error(err)
	}
	_ = wsutil.WriteServerText(to, data)
}

// live is an entry as a member gets it.
func live(entry frame) frame {
	f := frame{"room": "lobby", "type": "message"}
	for name, value := range entry {
		f[name] = value
	}
	return f
}

func (k *kinds) answer(conn io.ReadWriter, request frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ref := request["ref"]
	switch request["type"] {
	case "hello":
		k.give(conn, frame{"type": "welcome", "version": 1, "session": "s", "username": request["username"], "server": "kinds", "limits": frame{"username": 32, "content": 5000, "frame": 65536}, "heartbeat": 30})
	case "join":
		k.give(conn, frame{"type": "joined", "ref": ref, "room": "lobby", "epoch": "e", "head": len(k.log), "members": 1})
		k.joined[conn] = true
		after, resumes := request["after"].(float64)
		if !resumes {
			k.joins = append(k.joins, -1)
			return
		}
		k.joins = append(k.joins, after)
		for _, entry := range k.log[int(after):] {
			k.give(conn, live(entry))
		}
	case "rooms":
		k.give(conn, frame{"type": "rooms", "ref": ref, "rooms": []frame{{"room": "lobby", "head": len(k.log), "members": 1}}, "more": false})
	case "members":
		k.give(conn, frame{"type": "members", "ref": ref, "room": "lobby", "usernames": []string{"alice"}, "more": false})
	case "history":
		k.pages++
		limit := int(request["limit"].(float64))
		page, more := slices.Clone(k.log), false
		if k.folds {
			page = slices.DeleteFunc(page, func(entry frame) bool { return entry["type"] != nil })
		}
		if after, ok := request["after"].(float64); ok {
			page = slices.DeleteFunc(page, func(entry frame) bool { return float64(entry["seq"].(int)) <= after })
			more = len(page) > limit
			page = page[:min(limit, len(page))]
		} else {
			if before, ok := request["before"].(float64); ok {
				page = slices.DeleteFunc(page, func(entry frame) bool { return float64(entry["seq"].(int)) >= before })
			}
			more = len(page) > limit
			page = page[max(0, len(page)-limit):]
		}
		answer := frame{"type": "history", "ref": ref, "room": "lobby", "messages": page, "more": more}
		if k.onPage != nil {
			k.onPage(conn, answer)
		}
		k.give(conn, answer)
	case "send":
		entry := k.append(frame{"id": request["id"], "username": "alice", "content": request["content"]})
		k.publish(conn, entry)
		k.give(conn, frame{"type": "ack", "room": "lobby", "id": request["id"], "seq": entry["seq"], "time": entry["time"], "duplicate": false})
	case "ping":
		k.give(conn, frame{"type": "pong"})
	}
}

// append gives an entry its place in the log. k.mu is held.
func (k *kinds) append(entry frame) frame {
	entry["seq"] = len(k.log) + 1
	entry["time"] = "2026-11-24T02:35:37.101Z"
	k.log = append(k.log, entry)
	return entry
}

// publish sends an entry to all members but its author. k.mu is held.
func (k *kinds) publish(author io.Writer, entry frame) {
	for conn := range k.joined {
		if conn != author {
			k.give(conn, live(entry))
		}
	}
}

// add appends entries: a message for a content, and for "" an entry of a kind
// that the page has never heard of.
func (k *kinds) add(contents ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, content := range contents {
		entry := frame{"id": fmt.Sprint("id", len(k.log)), "username": "ben", "content": content}
		if content == "" {
			entry = frame{"type": "unheard-of", "username": "ben", "target": 1, "emoji": "👍"}
		}
		k.publish(nil, k.append(entry))
	}
}

// leave closes all connections, and takes none until come.
func (k *kinds) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = true
	for _, end := range k.conns {
		end()
	}
}

func (k *kinds) come() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = false
}

// wantMessages checks that the page has all messages of the log in their places,
// and nothing else.
func (k *kinds) wantMessages(p *page) {
	k.t.Helper()
	got := p.readAll()
	k.mu.Lock()
	defer k.mu.Unlock()
	want := 0
	for _, entry := range k.log {
		if entry["type"] != nil {
			continue
		}
		want++
		if seq := entry["seq"].(int); got[seq] != entry["content"] {
			k.t.Errorf("message %d is %q, want %q", seq, got[seq], entry["content"])
		}
	}
	if len(got) != want {
		k.t.Errorf("there are %d messages, want %d", len(got), want)
	}
	for _, sign := range []string{".gap", ".state", ".jump", ".count"} {
		if p.truth(fmt.Sprintf(`document.querySelector('%s')`, sign)) {
			k.t.Errorf("the page shows %s: %q", sign, p.text(fmt.Sprintf(`document.querySelector('%s').innerText`, sign)))
		}
	}
}

// wantResume waits for another join, and checks that it goes on behind the head of
// the log.
func (k *kinds) wantResume(p *page, joins, head int) {
	k.t.Helper()
	p.online()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.joins) != joins || k.joins[joins-1] != float64(head) {
		k.t.Errorf("the joins had as after: %v, want %d of them, the last one with %d", k.joins, joins, head)
	}
}

// mixed returns n messages, with an entry of another kind behind every third.
func mixed(prefix string, n int) []string {
	var all []string
	for i, content := range numbered(prefix, n) {
		all = append(all, content)
		if i%3 == 0 {
			all = append(all, "")
		}
	}
	return all
}

// TestUnknownKinds has entries of a kind that the page does not know between the
// messages, at the head, before a break, and as whole pages of history.
func TestUnknownKinds(t *testing.T) {
	t.Parallel()
	for name, folds := range map[string]bool{"in pages of history": false, "left out of history": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testUnknownKinds(t, folds)
		})
	}
}

func testUnknownKinds(t *testing.T, folds bool) {
	k := startKinds(t, folds)
	if !folds {
		k.add("") // or the page could not know that nothing was before
	}
	k.add(mixed("early", 300)...)
	k.add(make([]string, 700)...) // more than three pages without a message
	k.add(mixed("late", 30)...)
	k.add("", "") // the head
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(k.url, "alice")
	p.sees("late 30")
	top := `(() => { const l = document.querySelector('#messages'); l.scrollTop = 0; return l.innerText.includes('This is where lobby begins.') })()`
	p.until("%s", raw(top))
	k.wantMessages(p)

	// Live, also in the last place, where it must not count as unread.
	k.add("", "live 1", "", "live 2", "")
	p.sees("live 2")
	p.say("of my own")
	p.stored("of my own")
	k.add("", "")
	k.wantMessages(p)
	p.until(`document.title === 'lobby · Kaban'`)

	// A break right behind one, and some of them in the break.
	k.leave()
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	head := len(k.log)
	k.add("", "missed 1", "", "missed 2", "")
	k.come()
	p.sees("missed 2")
	k.wantResume(p, 2, head)
	k.wantMessages(p)

	// In the past, with one at the head: the way back leads to the newest message,
	// and the page goes on from there.
	p.text(`location.hash = '#49', ''`)
	p.until(`document.querySelector('.marked')?.closest('.row').dataset.seq === '49'`)
	k.add("meanwhile", "")
	p.until(`document.querySelector('.jump')?.innerText.includes('new message')`)
	p.click(".jump")
	p.sees("meanwhile")
	p.until(`!document.querySelector('.jump')`)
	k.add("", "after the jump")
	p.sees("after the jump")
	p.until("%s", raw(top))
	k.wantMessages(p)
	p.until(`document.title === 'lobby · Kaban'`)

	// Reading on from the past loads page after page, and comes to an end.
	p.open("about:blank")
	p.open(k.url + "/r/lobby#49")
	p.until(`document.querySelector('.marked')`)
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop += 2000; return l.innerText.includes('after the jump') })()`)
	p.until(`!document.querySelector('.jump')`)
	p.until("%s", raw(top))
	k.wantMessages(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	t.Logf("%d pages of history", k.pages)
	if k.pages > 30 {
		t.Errorf("the page has asked for %d pages of a log of %d entries", k.pages, len(k.log))
	}
}

// takeVisitors answers as a server does that nobody has an account on.
func takeVisitors(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/server", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"server":"kaban","claimed":false,"access":"open","sign_up":false,"visitors":true,"passkeys":false}`)
	})
}
