package browser

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"kaban/client"
	"kaban/wire"
)

// fill connects the only client that a server takes, once there is room.
func (s *server) fill(username string) *client.Client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		c, err := client.Dial(ctx, s.tcp, client.Options{Username: username})
		if err == nil {
			s.t.Cleanup(func() { c.Close() })
			return c
		}
		if full, ok := errors.AsType[*client.Error](err); !ok || full.Code != wire.CodeServerFull {
			s.t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestFullServer is turned away by a server that is full: the page says so, to somebody that gives a
// name and to somebody that comes back, and gets in by itself when there is room.
func TestFullServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "", "--max-clients", "1")
	ben := s.fill("ben")
	p := newPage(t, desktop)
	p.open(s.url)
	p.until(`document.activeElement?.id === 'name'`)
	p.write("alice")
	p.press(kb.Enter)
	p.until(`document.querySelector('#name-help').innerText === 'The server is full right now. Trying again …'`)
	ben.Close()
	p.online()
	p.open("about:blank")
	ben = s.fill("ben")
	p.open(s.url)
	p.until(`document.querySelector('.states').innerText === 'The server is full right now. Trying again …'`)
	ben.Close()
	p.online()
	p.until(`document.querySelector('.states').innerText === ''`)
}

// TestTurnedAway checks what the page says while a server lets nobody in.
func TestTurnedAway(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	const again = `, message: 'no', retry_after_ms: 1000 }); this.say({ type: 'goodbye', reason: 'internal', reconnect_after_ms: 1000 }); this.end()`
	for name, c := range map[string]struct{ mode, says string }{
		"server_full":  {`this.say({ type: 'error', code: 'server_full'` + again, "The server is full right now. Trying again …"},
		"rate_limited": {`this.say({ type: 'error', code: 'rate_limited'` + again, "Too many connections at once. Trying again …"},
		"unavailable":  {`this.say({ type: 'error', code: 'unavailable'` + again, "The server is not available at the moment. Trying again …"},
		"storage_full": {`this.say({ type: 'error', code: 'storage_full'` + again, "The server’s disk is full. Trying again …"},
		"its own name": {`this.say({ type: 'error', code: 'username_taken', message: 'no' }); this.say({ type: 'goodbye', reason: 'auth' }); this.end()`, "Connection lost. Reconnecting … Anything you write is kept and sent once you are back."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t, desktop)
			p.script(strings.Replace(hostile, "MODE", c.mode, 1))
			p.open(s.url)
			p.until(`document.activeElement?.id === 'name'`)
			p.write("alice")
			p.press(kb.Enter)
			p.until(`window.tries >= 6 && document.querySelector('.states').innerText === %s`, c.says)
		})
	}
}
