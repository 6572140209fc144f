package browser

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	webpage "kaban/internal/web/page"
)

//go:embed testdata/xss.txt
var corpus string

// attacks returns texts that try to become script, one per line. Those that are an
// address are also tried as a Markdown link.
func attacks(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(corpus) {
		line = strings.TrimSuffix(line, "\n")
		all = append(all, line)
		if strings.Contains(line, "script:") && !strings.ContainsAny(line, "[]() \t") {
			all = append(all, "["+line+"]("+line+")", "<"+line+">")
		}
	}
	if len(all) < 200 {
		t.Fatalf("the corpus has only %d attacks", len(all))
	}
	return all
}

// innocent looks for traces of an attack in the document: an element, an attribute or
// an address that the page never makes of text. It returns what it finds.
const innocent = `(() => {
	const found = []
	const elements = new Set('P STRONG EM S CODE PRE A BLOCKQUOTE SPAN DIV TABLE TBODY TR TH TD'.split(' '))
	const attributes = new Set(['class', 'href', 'target', 'rel', 'title', 'dir', 'tabindex'])
	for (const content of document.querySelectorAll('.content')) {
		for (const e of content.querySelectorAll('*')) {
			if (!elements.has(e.tagName)) found.push('<' + e.tagName + '> in ' + content.innerText)
			for (const a of e.attributes) if (!attributes.has(a.name)) found.push(a.name + '=' + a.value + ' in ' + content.innerText)
			if (e.tagName === 'A') {
				if (!['http:', 'https:', 'mailto:'].includes(e.protocol)) found.push('a link to ' + e.href)
				if (!e.rel.includes('noopener') || !e.rel.includes('noreferrer')) found.push('rel=' + e.rel)
			}
		}
	}
	for (const e of document.querySelectorAll('*')) {
		for (const a of e.attributes) if (/^on/i.test(a.name)) found.push(e.tagName + ' ' + a.name)
		if (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'IMG', 'BASE', 'STYLE', 'FORM', 'LINK', 'META'].includes(e.tagName) &&
			!e.closest('head') && !(e.tagName === 'FORM' && /^(composer|card|search-form|)$/.test(e.className))) found.push('<' + e.tagName + '>')
	}
	if (window.pwned !== undefined) found.push('pwned is set')
	return found
})()`

// wantInnocent fails the test if an attack has left a trace. Dialogs, errors and
// policy violations fail it anyway.
func (p *page) wantInnocent(where string) {
	p.t.Helper()
	for _, trace := range value[[]string](p, innocent) {
		p.t.Errorf("%s: %s", where, trace)
	}
}

func TestAttacksInContent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	all := attacks(t)
	s.say("mallory", "lobby", all...)
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.until(`document.querySelectorAll('.row').length > 5`)
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop = 0; return l.querySelector('.begin').innerText.includes('This is where') })()`)
	for seen := 0; seen < len(all); {
		p.wantInnocent("content")
		seen = int(p.later(`new Promise((done) => {
			const l = document.querySelector('#messages')
			l.scrollTop += 400
			requestAnimationFrame(() => requestAnimationFrame(() => done(Number([...l.querySelectorAll('.row')].at(-1).dataset.seq))))
		})`))
	}
	p.wantInnocent("the end")
	// Attacks that are not Markdown are shown as plain text.
	if got := p.text(`(() => { const l = document.querySelector('#messages'); l.scrollTop = 0; return '' })()`); got != "" {
		t.Fatal(got)
	}
	p.until(`document.querySelector('.row[data-seq="1"] .content')?.innerText === '<script>pwned()</script>'`)
	// The search shows them too.
	p.press("f", chromedp.KeyModifiers(2))
	p.until(`document.activeElement.id === 'search'`)
	p.write("pwned")
	p.press(kb.Enter)
	p.until(`document.querySelectorAll('.results li').length > 0 || (%s !== 'Searching …' && (document.querySelector('.search-form').requestSubmit(), false))`, raw(searchStatus))
	p.wantInnocent("search")
}

// TestAttacksInWhatIsTyped uses attacks as name, room and address; the real server
// refuses them.
func TestAttacksInWhatIsTyped(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.script(keys + `
		const read = JSON.parse
		window.refused = 0
		JSON.parse = (text) => {
			const value = read(text)
			if (value?.type === 'error') window.refused++
			return value
		}
	`)
	p.open(s.url)
	for i, attack := range attacks(t)[:40] {
		p.until(`document.querySelector('#name')`)
		p.text(fmt.Sprintf(`document.querySelector('#name').value = %s, document.querySelector('.join form').requestSubmit(), ''`, quote(attack)))
		p.until(`window.refused === %s`, i+1)
		value[any](p, `frames2()`, awaited) // or it might be the refusal of the name before
		p.until(`document.querySelector('#name-problem') && !document.querySelector('.primary').disabled`)
		p.wantInnocent("name " + attack)
	}
	p.text(`document.querySelector('#name').value = 'alice', document.querySelector('.join form').requestSubmit(), ''`)
	p.online()
	for _, attack := range attacks(t)[:40] {
		p.text(fmt.Sprintf(`history.pushState(null, '', '/r/' + encodeURIComponent(%s)), dispatchEvent(new PopStateEvent('popstate')), ''`, quote(strings.ReplaceAll(attack, "/", "-"))))
		p.wantInnocent("room " + attack)
		p.until(`document.querySelector('.head h1').innerText.includes('lobby')`)
	}
	p.open(s.url + "/r/" + url.PathEscape(`"><img src=x onerror=pwned()>`))
	p.until(`document.querySelector('.head h1')?.innerText.includes('lobby')`)
	p.wantInnocent("address")
}

func quote(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded
	return out.String()
}

// evil is a server with an attack in every field: the page must not rely on the
// server's checks of names.
func evil(t *testing.T, attacks []string) string {
	t.Helper()
	var serving sync.WaitGroup
	mux := http.NewServeMux()
	mux.Handle("/", webpage.Handler())
	takeVisitors(mux)
	mux.HandleFunc("/v1/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		serving.Go(func() {
			defer conn.Close()
			say := func(frame map[string]any) {
				data, err := json.Marshal(frame)
				if err != nil {
					t.Error(err)
				}
				_ = wsutil.WriteServerText(conn, data) // an error means that the page has gone
			}
			for {
				data, err := wsutil.ReadClientText(conn)
				if err != nil {
					return
				}
				var request struct{ Type, Room, Ref string }
				if err := json.Unmarshal(data, &request); err != nil {
					t.Error(err)
				}
				switch request.Type {
				case "hello":
					say(map[string]any{"type": "welcome", "version": 1, "session": attacks[0], "username": attacks[1], "server": attacks[2], "limits": map[string]any{"username": 32, "content": 5000, "frame": 65536}, "heartbeat": 30})
				case "rooms":
					var rooms []map[string]any
					for _, attack := range attacks {
						rooms = append(rooms, map[string]any{"room": attack, "head": 3, "members": 2})
					}
					say(map[string]any{"type": "rooms", "ref": request.Ref, "rooms": rooms, "more": false})
				case "join":
					say(map[string]any{"type": "joined", "ref": request.Ref, "room": request.Room, "epoch": attacks[3], "head": len(attacks), "members": 2})
					for i, attack := range attacks {
						say(map[string]any{"type": "message", "room": request.Room, "seq": len(attacks) + i + 1, "id": attack, "username": attack, "content": "@" + attack, "time": attack})
					}
				case "members":
					say(map[string]any{"type": "members", "ref": request.Ref, "room": request.Room, "usernames": attacks, "more": false})
				case "history":
					var messages []map[string]any
					for i, attack := range attacks {
						messages = append(messages, map[string]any{"seq": i + 1, "id": attack, "username": attack, "content": attack, "time": "2026-11-24T02:35:37.101Z"})
					}
					say(map[string]any{"type": "history", "ref": request.Ref, "room": request.Room, "messages": messages, "more": false})
					say(map[string]any{"type": "error", "code": attacks[4], "message": attacks[5]})
				case "send":
					say(map[string]any{"type": "error", "ref": request.Ref, "code": attacks[6], "message": attacks[7]})
				}
			}
		})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		within(t, "ending the hostile server", func() {
			server.Close()
			serving.Wait()
		})
	})
	return server.URL
}

func TestAttacksOfAServer(t *testing.T) {
	t.Parallel()
	all := attacks(t)
	url := evil(t, all)
	p := newPage(t, desktop) // after the server: it is closed before it
	p.join(url, "alice")
	p.until(`document.querySelectorAll('.row').length > 10 && document.querySelectorAll('.member-list li').length > 100`)
	p.until(`document.querySelector('.state.problem')`)
	p.wantInnocent("messages and members")
	for range 40 {
		p.text(`document.querySelector('#messages').scrollTop -= 1500, ''`)
		p.later(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
		p.wantInnocent("names")
	}
	p.say("to be refused")
	p.until(`document.querySelector('.fate.error')`)
	p.wantInnocent("refusal")
	p.press("k", chromedp.KeyModifiers(2))
	p.until(`document.querySelectorAll('[role=option]').length > 5`)
	p.wantInnocent("switcher")
	// Enter one of these rooms.
	p.write("onerror")
	p.until(`document.querySelector('[role=option][aria-selected=true]')?.innerText.includes('onerror')`)
	p.enter()
	p.until(`document.querySelector('.head h1').innerText.includes('onerror')`)
	p.until(`document.querySelectorAll('.row').length > 10`)
	p.wantInnocent("a room")
	p.until(`document.title.includes('onerror')`)
}
