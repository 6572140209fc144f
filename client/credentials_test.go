package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kaban/wire"
)

// distant is a connection to an address that records what is written.
type distant struct {
	net.Conn
	remote net.Addr
}

func (d *distant) RemoteAddr() net.Addr { return d.remote }

// sealed is an encrypted one.
type sealed struct{ distant }

func (*sealed) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }

// A secret goes to this machine, or through encryption, or nowhere.
func TestSecretsStayHere(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 6440} }
	for name, c := range map[string]struct {
		remote   net.Addr
		sealed   bool
		insecure bool
		visitor  bool
		ok       bool
	}{
		"another machine":            {remote: tcp("192.0.2.1")},
		"another machine, IPv6":      {remote: tcp("2001:db8::1")},
		"the local network":          {remote: tcp("192.168.1.2")},
		"something unknown":          {remote: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}},
		"no address":                 {},
		"this machine":               {remote: tcp("127.0.0.1"), ok: true},
		"this machine, IPv6":         {remote: tcp("::1"), ok: true},
		"this machine, IPv4 in IPv6": {remote: tcp("::ffff:127.0.0.1"), ok: true},
		"a socket":                   {remote: &net.UnixAddr{Net: "unix"}, ok: true},
		"encrypted":                  {remote: tcp("192.0.2.1"), sealed: true, ok: true},
		"insecure":                   {remote: tcp("192.0.2.1"), insecure: true, ok: true},
		"a visitor":                  {remote: tcp("192.0.2.1"), visitor: true, ok: true},
	} {
		for _, options := range []Options{Options{}.WithToken("a token"), Options{}.WithPassword("ann", "a password")} {
			if c.visitor {
				options = Options{Username: "ann"}
			}
			options.Insecure = c.insecure
			heard := make(chan asking, 1)
			options.Dial = func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go serveFake(theirs, func(a asking) (string, bool) {
					heard <- a
					return welcome, false
				})
				d := distant{ours, c.remote}
				if c.sealed {
					return &sealed{d}, nil
				}
				return &d, nil
			}
			client, err := Dial(t.Context(), "", options)
			if client != nil {
				client.Close()
			}
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrInsecure) || len(heard) > 0 != c.ok {
				t.Errorf("%s: %v, and %d frames were sent", name, err, len(heard))
			}
			if c.ok {
				continue
			}
			stopped := make(chan error, 1)
			options.OnState = func(s State) {
				if s.Status == Stopped || s.Status == Offline {
					stopped <- s.Err
				}
			}
			persistent := New(options)
			if err := persistent.Connect("", options.Username); err != nil {
				t.Fatal(err)
			}
			if err := <-stopped; !errors.Is(err, ErrInsecure) || len(heard) > 0 {
				t.Errorf("%s: a client of New: %v", name, err)
			}
			if c := persistent.isFinal(ErrInsecure); !c {
				t.Errorf("%s: a client of New tries again", name)
			}
			persistent.Close()
		}
	}
}

// A client of New that must not send its secret rests; one that is told to come later
// does.
func TestWhatEndsASignIn(t *testing.T) {
	for code, final := range map[wire.Code]bool{
		wire.CodeAuthFailed: true, wire.CodeAuthRequired: true, wire.CodeSuspended: true, wire.CodeTLSRequired: true, wire.CodeForbidden: true,
		wire.CodeRateLimited: false, wire.CodeUnavailable: false, wire.CodeServerFull: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			options := piped(func(number int, conn net.Conn) {
				attempts = number
				serveFake(conn, func(asking) (string, bool) {
					bye := `{"type":"goodbye","reason":"auth"}`
					if !final {
						bye = `{"type":"goodbye","reason":"internal","reconnect_after_ms":7000}`
					}
					return fmt.Sprintf(`{"type":"error","code":%q,"message":"no","retry_after_ms":7000}`+"\n%s", code, bye), true
				})
			})
			var states []State
			options.OnState = func(s State) { states = append(states, s) }
			options = options.WithToken("a token")
			c := New(options)
			defer c.Close()
			if err := c.Connect("", ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			last := states[len(states)-1]
			if final && (attempts != 1 || last.Status != Stopped) {
				t.Errorf("%s: %d attempts, and then %+v", code, attempts, last)
			}
			if !final && (attempts < 3 || attempts > 9 || last.Status == Stopped) {
				t.Errorf("%s: %d attempts in a minute, and then %+v", code, attempts, last)
			}
		})
	}
}

// Me follows the pages, and no server keeps it in them for ever.
func TestPagesOfMe(t *testing.T) {
	state := func(room string) string {
		return fmt.Sprintf(`{"room":%q,"kind":"public","topic":"","role":"member","flags":[],"head":1,"read":1,"unread":0,"mentions":0,"notify":"all"}`, room)
	}
	for name, c := range map[string]struct {
		pages []string
		want  []string
	}{
		"three pages":     {[]string{state("a") + "," + state("b"), state("c"), ""}, []string{"a", "b", "c"}},
		"the same again":  {[]string{state("a"), state("a"), state("a")}, []string{"a", "a"}},
		"an empty page":   {[]string{""}, nil},
		"the wrong order": {[]string{state("b"), state("a"), state("c")}, []string{"b", "a"}},
	} {
		options := piped(func(_ int, conn net.Conn) {
			page := 0
			serveFake(conn, func(a asking) (string, bool) {
				if a.Type != "me" {
					return usual(a), false
				}
				page++
				return fmt.Sprintf(`{"type":"me","account":{"username":"ann","name":"Ann","role":"member","bot":false},"rooms":[%s],"more":true,"ref":%q}`,
					c.pages[min(page, len(c.pages))-1], a.Ref), false
			})
		})
		client, err := Dial(t.Context(), "", options)
		if err != nil {
			t.Fatal(err)
		}
		me, err := client.Me(t.Context())
		var got []string
		for _, s := range me.Rooms {
			got = append(got, s.Room)
		}
		if err != nil || !slices.Equal(got, c.want) || me.Account.Name != "Ann" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		client.Close()
	}
}
