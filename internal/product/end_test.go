package product

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
)

// ending is somebody with everything that an account can be connected with.
type ending struct {
	w                  *world
	name, room         string
	device, other      account.Session // device is what most ends are about; other asks for them
	token, bot         string          // secrets of tokens
	tokenID, botTokens string
	hook               string // the key of a hook that they have made
}

const endingPassword = "correct horse battery"

// newEnding makes an account with two devices, a token, a bot and a hook.
func (w *world) newEnding(name string) *ending {
	w.t.Helper()
	e := &ending{w: w, name: name, room: name + "-room"}
	ctx, operator := w.t.Context(), account.Operator()
	_, _, err := w.accounts.AddAccount(ctx, operator, account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: endingPassword}, Role: kaban.RoleMember})
	for _, session := range []*account.Session{&e.device, &e.other} {
		if err == nil {
			*session, err = w.accounts.SignInWithPassword(ctx, name, endingPassword, account.Device{Name: "test"})
		}
	}
	if err == nil {
		_, err = w.accounts.MakeBot(ctx, operator, account.NewBot{Username: name + "-bot", Owner: name})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	e.tokenID, e.token = w.token(account.NewToken{Username: name})
	e.botTokens, e.bot = w.token(account.NewToken{Username: name + "-bot"})
	w.cookies[name], w.tokens[name] = e.device.Secret, e.device.Secret
	opal := w.as("opal")
	opal.must(frame{"type": "create", "room": e.room, "kind": "public"})
	opal.must(opal.act("role", e.room, "opal", frame{"role": "op"}))
	opal.must(frame{"type": "join", "room": e.room})
	opal.must(opal.act("invite", e.room, name, nil))
	opal.must(opal.act("role", e.room, name, frame{"role": "op"}))
	a := w.request(api{cookie: true}.credential(w, name), http.MethodPost, "/v1/admin/hooks", frame{"room": e.room}).frame(w)
	path, _ := a["path"].(string)
	if e.hook = path; path == "" {
		w.t.Fatalf("no hook: %v", a)
	}
	return e
}

// follower is a connection that reads a room. next returns the text that comes next.
type follower struct {
	what string
	next func() (string, error)
	wake func() // before the rest is read; of a stalled one
}

// overLines follows the room over kaban/1.
func (e *ending) overLines(what string, l lines, hello frame, watches bool) follower {
	e.w.t.Helper()
	c, err := l.dial(e.w, e.name)
	if err != nil {
		e.w.t.Fatal(err)
	}
	e.w.t.Cleanup(func() { c.Close() })
	p := &peer{w: e.w, wire: c, name: what}
	p.must(hello)
	if watches {
		p.must(frame{"type": "watch", "room": e.room})
	} else {
		p.must(frame{"type": "join", "room": e.room})
	}
	return follower{what: what, next: func() (string, error) {
		line, err := c.receive()
		return string(line), err
	}}
}

// overEvents follows the room over HTTP.
func (e *ending) overEvents(what string, credential http.Header) follower {
	e.w.t.Helper()
	r, err := http.NewRequestWithContext(e.w.t.Context(), http.MethodGet, e.w.url+"/v1/rooms/"+e.room+"/events", nil)
	if err != nil {
		e.w.t.Fatal(err)
	}
	r.Header = credential
	a, err := e.w.sockets().Do(r)
	if err != nil {
		e.w.t.Fatal(err)
	}
	e.w.t.Cleanup(func() { a.Body.Close() })
	events := bufio.NewReader(a.Body)
	f := follower{what: what, next: func() (string, error) { return events.ReadString('\n') }}
	f.until(e.w.t, `"type":"joined"`)
	return f
}

func bearer(secret string) http.Header { return http.Header{"Authorization": {"Bearer " + secret}} }

func token(secret string) frame { return frame{"type": "hello", "version": 1, "token": secret} }

// until reads up to a text.
func (f follower) until(t *testing.T, text string) {
	t.Helper()
	for {
		got, err := f.next()
		if err != nil {
			t.Fatalf("%s: %v before %s", f.what, err, text)
		}
		if strings.Contains(got, text) {
			return
		}
	}
}

// rest reads to the end and returns all of it. How a connection ends does not matter, but
// for one that does not end.
func (f follower) rest(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for {
		got, err := f.next()
		all.WriteString(got + "\n")
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Errorf("%s does not end", f.what)
		}
		if err != nil {
			return all.String()
		}
	}
}

// say has opal send a message to the room.
func (e *ending) say(content string) {
	e.w.t.Helper()
	opal := e.w.as("opal")
	opal.must(opal.act("send", e.room, "", frame{"content": content}))
}

// Whatever ends a device, a token or an account ends all that is connected with it, over
// every front end, whether it reads what it gets or not. No time-out is needed: the clock
// of the connections stands still. Nothing is delivered that comes after, and whatever is
// connected in another way goes on.
func TestAnEndIsAnEnd(t *testing.T) {
	operator := account.Operator()
	for _, test := range []struct {
		name string
		end  func(e *ending) error
		// What ends, and the code of the next message of the hook.
		device, token, bot bool
		hook               string
	}{
		{"the device is revoked", func(e *ending) error {
			return e.w.accounts.RevokeDevice(e.w.t.Context(), e.other.Principal.As(""), e.device.Principal.SecretID)
		}, true, false, false, ""},
		{"the device signs out", func(e *ending) error {
			return e.w.accounts.RevokeDevice(e.w.t.Context(), e.device.Principal.As(""), e.device.Principal.SecretID)
		}, true, false, false, ""},
		{"all other devices", func(e *ending) error {
			return e.w.accounts.RevokeOtherDevices(e.w.t.Context(), e.other.Principal.As(""))
		}, true, false, false, ""},
		{"a new password", func(e *ending) error {
			return e.w.accounts.SetPassword(e.w.t.Context(), e.other.Principal.As(""), "another long password")
		}, true, false, false, ""},
		{"the token is revoked", func(e *ending) error {
			return e.w.accounts.RevokeDevice(e.w.t.Context(), e.other.Principal.As(""), e.tokenID)
		}, false, true, false, ""},
		{"the bot's token is revoked", func(e *ending) error {
			return e.w.accounts.RevokeDevice(e.w.t.Context(), e.other.Principal.As(""), e.botTokens)
		}, false, false, true, ""},
		{"the bot is given away", func(e *ending) error {
			return e.w.accounts.GiveBot(e.w.t.Context(), operator, e.name+"-bot", "mia")
		}, false, false, true, ""},
		{"reset", func(e *ending) error {
			_, err := e.w.accounts.Reset(e.w.t.Context(), operator, e.name)
			return err
		}, true, true, false, ""},
		{"suspended", func(e *ending) error {
			return e.w.accounts.Suspend(e.w.t.Context(), operator, e.name, "")
		}, true, true, true, "forbidden"},
		{"removed", func(e *ending) error {
			return e.w.accounts.Remove(e.w.t.Context(), operator, e.name)
		}, true, true, true, "not_found"},
		{"erased", func(e *ending) error {
			return e.w.accounts.Erase(e.w.t.Context(), operator, e.name)
		}, true, true, true, "not_found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lines{})
			e := w.newEnding("vera")
			stalled := e.stalled()
			all := []struct {
				follower
				ends bool
			}{
				{e.overLines("TCP with a device", lines{}, token(e.device.Secret), false), test.device},
				{e.overLines("WebSocket with a device", lines{overWebSocket: true}, token(e.device.Secret), false), test.device},
				{e.overLines("WebSocket with a cookie", lines{overWebSocket: true, cookie: true}, frame{"type": "hello", "version": 1}, true), test.device},
				{e.overEvents("events with a device", bearer(e.device.Secret)), test.device},
				{e.overEvents("events with a cookie", api{cookie: true}.credential(w, e.name)), test.device},
				{e.overLines("TCP with a token", lines{}, token(e.token), false), test.token},
				{e.overLines("WebSocket with a token", lines{overWebSocket: true}, token(e.token), true), test.token},
				{e.overEvents("events with a token", bearer(e.token)), test.token},
				{e.overLines("TCP with a bot", lines{}, token(e.bot), true), test.bot},
				{e.overEvents("events with a bot", bearer(e.bot)), test.bot},
			}
			e.say("before")
			for _, f := range all {
				f.until(t, `"content":"before"`)
			}
			if err := test.end(e); err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				if f.ends {
					f.until(t, `"goodbye"`)
				}
			}
			e.say("after")
			for _, f := range all {
				if !f.ends {
					f.until(t, `"content":"after"`)
				} else if rest := f.rest(t); strings.Contains(rest, "after") {
					t.Errorf("%s gets %q", f.what, rest)
				}
			}
			if test.device {
				for _, f := range stalled {
					f.wake()
					if rest := f.rest(t); strings.Contains(rest, "after") || !strings.Contains(rest, "long ago") {
						t.Errorf("%s goes on to the message after the end, or gets nothing", f.what)
					}
				}
			}
			// A stream that has ended may end its connection just when it is used again: then once more.
			again := http.Header{"Idempotency-Key": nil}
			if code := w.request(again, http.MethodPost, e.hook, frame{"text": "from outside"}); test.hook == "" && code.status != http.StatusOK ||
				test.hook != "" && code.code(w) != test.hook {
				t.Errorf("the hook gets %d %s, want %q", code.status, code.body, test.hook)
			}
		})
	}
}

// stalled returns readers over kaban/1 and over HTTP that take nothing until they are
// asked for the rest, and are far behind the log by then.
func (e *ending) stalled() (all []follower) {
	e.w.t.Helper()
	greeting, err := json.Marshal(token(e.device.Secret))
	if err != nil {
		e.w.t.Fatal(err)
	}
	host := strings.TrimPrefix(e.w.url, "http://")
	for _, s := range []struct{ what, address, asks string }{
		{"a stalled reader", e.w.address, fmt.Sprintf("%s\n{\"type\":\"join\",\"room\":%q}\n", greeting, e.room)},
		{"a stalled reader of events", host, fmt.Sprintf("GET /v1/rooms/%s/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", e.room, host, e.device.Secret)},
	} {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			e.w.t.Fatal(err)
		}
		e.w.t.Cleanup(func() { c.Close() })
		window := c.(*net.TCPConn)
		window.SetReadBuffer(4 << 10)
		if _, err := io.WriteString(c, s.asks); err != nil {
			e.w.t.Fatal(err)
		}
		lines := bufio.NewReader(c)
		f := follower{what: s.what, next: func() (string, error) {
			c.SetReadDeadline(time.Now().Add(patience))
			return lines.ReadString('\n')
		}}
		f.until(e.w.t, `"type":"joined"`)
		f.wake = func() { window.SetReadBuffer(4 << 20) } // or else the rest takes half a minute
		all = append(all, f)
	}
	for range 300 {
		e.say("long ago " + strings.Repeat("x", 4900))
	}
	return all
}
