package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/store/teststore"

	"kaban/client"
	way "kaban/client/dial"
	"kaban/client/dial/dialtest"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/tlstest"
	"kaban/internal/web"
)

// harbour is a server behind fronts that can be cut: one for each way to it, and for each
// over TLS two. At one of those the front encrypts, as a proxy does, at the other one the
// server.
type harbour struct {
	tcp    string
	fronts map[string]*dialtest.Front // by the address
	trust  way.Trust
	// certificate is the one of everything over TLS.
	certificate atomic.Pointer[tls.Certificate]
	authority   *tlstest.Authority
}

func newHarbour(t *testing.T) *harbour {
	t.Helper()
	nodetest.One(t, "its server has an address for each way")
	h := &harbour{fronts: make(map[string]*dialtest.Front), authority: tlstest.NewAuthority(t)}
	h.trust.CA = h.authority.PEM
	h.use(tlstest.Certificate{})
	s := teststore.New(t)
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := conn.New(conn.Config{Loops: 2, Submit: rooms.Submit})
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(s, account.Options{Hashes: 1})
	lines := server.New(server.Config{Accounts: accounts}, rooms, m)
	pages, err := web.New(web.Config{Accounts: accounts, Log: slog.New(slog.DiscardHandler)}, rooms, lines)
	if err != nil {
		t.Fatal(err)
	}
	var l [4]net.Listener
	for i := range l {
		if l[i], err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return h.certificate.Load(), nil }}
	served := make(chan error, len(l))
	go func() { served <- lines.Serve(l[0], peer.Loopback()) }()
	go func() { served <- pages.Serve(l[1], peer.Loopback()) }()
	go func() { served <- lines.ServeTLS(l[2], peer.Loopback(), config) }()
	go func() { served <- pages.ServeTLS(l[3], peer.Loopback(), config) }()
	t.Cleanup(func() {
		pages.Close()
		m.Close()
		for range l {
			<-served
		}
		d.Close()
		s.Close()
	})
	h.tcp = l[0].Addr().String()
	for _, way := range []struct {
		scheme  string
		config  *tls.Config
		backend net.Listener
	}{{"tcp", nil, l[0]}, {"tls", config, l[0]}, {"tls", nil, l[2]}, {"ws", nil, l[1]}, {"wss", config, l[1]}, {"wss", nil, l[3]}} {
		front := dialtest.NewFront(t, way.config, way.backend.Addr().String())
		h.fronts[way.scheme+"://"+front.Addr()] = front
	}
	return h
}

// use has the fronts show another certificate from the next connection on.
func (h *harbour) use(c tlstest.Certificate) {
	c.Hosts = []string{"127.0.0.1"}
	signed, _ := h.authority.Pair(c)
	h.certificate.Store(&signed)
}

// options are those of a client at an address.
func (h *harbour) options(address, name string) client.Options {
	o := client.Options{Username: name, MaxBackoff: 20 * time.Millisecond}
	if a, err := way.Parse(address); err == nil && a.IsEncrypted() {
		o.Trust = h.trust
	}
	return o
}

// Over each way, connections that break lose nothing and repeat nothing, in either
// direction.
func TestEachWayResumes(t *testing.T) {
	const messages, cuts = 400, 8
	h := newHarbour(t)
	for address, front := range h.fronts {
		scheme, _, _ := strings.Cut(address, ":")
		t.Run(scheme, func(t *testing.T) {
			ctx := within(t)
			way := address[strings.LastIndexByte(address, ':')+1:] // the server may still know the names of another one
			name := "writer-" + way
			writer, reader := dialWith(t, address, h.options(address, name)), dialWith(t, address, h.options(address, "reader-"+way))
			room := join(t, reader, client.From{})
			begin := room.Cursor().Seq
			there := join(t, writer, client.From{})
			go func() {
				for i := range messages {
					if _, err := there.Post(ctx, fmt.Sprint(i)); err != nil {
						t.Errorf("post %d: %v", i, err)
						return
					}
					if i%(messages/cuts) == 0 {
						front.Cut()
						time.Sleep(5 * time.Millisecond)
					}
				}
			}()
			n := 0
			for m, err := range room.Messages(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Username != name {
					continue
				}
				if m.Content != fmt.Sprint(n) || m.Seq <= begin {
					t.Fatalf("got %q at %d, want %d", m.Content, m.Seq, n)
				}
				if n++; n == messages {
					break
				}
			}
			if err := writer.Flush(ctx); err != nil || n != messages {
				t.Errorf("%d messages, %v", n, err)
			}
		})
	}
}

// A certificate that is not valid ends a first attempt at once. A session that has
// begun goes on trying, and so does a client of New.
func TestCertificatesOfARunningClient(t *testing.T) {
	h := newHarbour(t)
	old := tlstest.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	for address, front := range h.fronts {
		options := h.options(address, "ann")
		if options.Trust.IsZero() {
			continue
		}
		states := make(chan client.State, 100)
		options.OnState = func(s client.State) {
			select {
			case states <- s:
			default:
			}
		}
		waitFor := func(online bool) {
			t.Helper()
			for {
				select {
				case s := <-states:
					if online && s.Status == client.Online {
						return
					}
					if bad, ok := errors.AsType[*way.CertificateError](s.Err); !online && ok && bad.Fault == way.Expired && s.Status == client.Offline && s.RetryIn < time.Second {
						return
					}
				case <-within(t).Done():
					t.Fatalf("%s: online %v never comes", address, online)
				}
			}
		}
		h.use(old)
		_, err := client.Dial(within(t), address, options)
		if bad, ok := errors.AsType[*way.CertificateError](err); !ok || bad.Fault != way.Expired {
			t.Errorf("%s: the first attempt: %v", address, err)
		}
		h.use(tlstest.Certificate{})
		c := dialWith(t, address, options)
		waitFor(true)
		h.use(old)
		front.Cut()
		waitFor(false)
		h.use(tlstest.Certificate{})
		waitFor(true)
		c.Close()

		h.use(old)
		options.Username = ""
		options.Trust = way.Trust{}
		stays := client.New(options)
		t.Cleanup(func() { stays.Close() })
		stays.SetTrust(h.trust)
		if err := stays.Connect(address, "ben"); err != nil {
			t.Fatal(err)
		}
		waitFor(false)
		h.use(tlstest.Certificate{})
		waitFor(true)
		stays.Close()
	}
}

// Addresses and trust that cannot be meant are refused before anything is sent.
func TestAddressesThatAreNone(t *testing.T) {
	for address, want := range map[string]error{"": nil, "ftp://h": nil, "https://ann@h": nil, "tcp://127.0.0.1:1": way.ErrNoUse} {
		_, err := client.Dial(context.Background(), address, client.Options{Username: "ann", Trust: way.Trust{Pin: way.Pin{1}}})
		if _, bad := errors.AsType[*way.AddressError](err); bad != (want == nil) || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", address, err)
		}
		c := client.New(client.Options{})
		if _, bad := errors.AsType[*way.AddressError](c.Connect(address, "ann")); bad != (want == nil) {
			t.Errorf("%q: Connect takes it", address)
		}
		c.Close()
	}
}

// Each way carries a secret and its refusal.
func TestSecretsOverEachWay(t *testing.T) {
	h := newHarbour(t)
	for address := range h.fronts {
		options := h.options(address, "").WithToken("no-such-token")
		_, err := client.Dial(within(t), address, options)
		if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Code != "auth_failed" {
			t.Errorf("%s on this machine: %v", address, err)
		}
	}
}

// Over each way, typing is shown to others until the message comes. However often a
// caller reports it, the server gets one report.
func TestEachWayShowsTyping(t *testing.T) {
	h := newHarbour(t)
	for address := range h.fronts {
		scheme, _, _ := strings.Cut(address, ":")
		t.Run(scheme, func(t *testing.T) {
			ctx := within(t)
			way := address[strings.LastIndexByte(address, ':')+1:]
			seen := make(chan client.Typing, 100)
			options := h.options(address, "reader-"+way)
			options.OnTyping = func(y client.Typing) { seen <- y }
			reader, writer := dialWith(t, address, options), dialWith(t, address, h.options(address, "writer-"+way))
			room, there := join(t, reader, client.From{}), join(t, writer, client.From{})
			wait := func(wanted ...string) {
				t.Helper()
				select {
				case y := <-seen:
					if y.Room != "lobby" || !slices.Equal(y.Usernames, wanted) {
						t.Errorf("got %+v, want %q", y, wanted)
					}
				case <-ctx.Done():
					t.Fatalf("nothing comes; want %q", wanted)
				}
			}
			for range 2 {
				for range 100 {
					if err := there.Typing(ctx); err != nil {
						t.Fatal(err)
					}
				}
				wait("writer-" + way)
				if _, err := there.Send(ctx, "x"); err != nil {
					t.Fatal(err)
				}
				wait()
			}
			if got := read(t, room, 2); len(got) != 2 {
				t.Errorf("got %q", got)
			}
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			if err := there.Typing(canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that has ended: %v", err)
			}
			if err := there.Part(ctx); err != nil {
				t.Fatal(err)
			}
			if err := there.Typing(ctx); !errors.Is(err, client.ErrParted) {
				t.Errorf("after part: %v", err)
			}
		})
	}
}
