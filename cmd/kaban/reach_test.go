package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban/client"
	"kaban/client/dial"
	"kaban/client/dial/dialtest"
	"kaban/internal/account"
	"kaban/internal/tlstest"
	"kaban/wire"
)

// fronts are a town over TLS: kaban/1, and the page below no path.
type fronts struct {
	*town
	authority  *tlstest.Authority
	pin        string
	lines, web string // addresses
}

func newFronts(t *testing.T, c tlstest.Certificate) *fronts {
	t.Helper()
	f := &fronts{town: newTown(t), authority: tlstest.NewAuthority(t)}
	f.servePage()
	signed, _ := f.authority.Pair(c)
	config := &tls.Config{Certificates: []tls.Certificate{signed}}
	f.pin = dial.PinOf(signed.Leaf).String()
	f.lines = "tls://" + dialtest.NewFront(t, config, f.addr).Addr()
	f.web = "https://" + dialtest.NewFront(t, config, f.page).Addr()
	return f
}

// devices returns how many devices ann has.
func (f *fronts) devices() int {
	f.t.Helper()
	ann, err := f.accounts.SignInWithPassword(f.t.Context(), "ann", password, account.Device{Name: "browser"})
	if err != nil {
		f.t.Fatal(err)
	}
	all, err := f.accounts.Devices(f.t.Context(), ann.Principal.As("127.0.0.1"))
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for _, d := range all {
		if d.Name != "browser" {
			n++
		}
	}
	return n
}

// A person signs in over TLS, once with the pin or the authority, and every command
// knows it afterwards.
func TestEveryCommandOverTLS(t *testing.T) {
	f := newFronts(t, tlstest.Certificate{Hosts: []string{"127.0.0.1"}})
	ca := file(t, string(f.authority.PEM))
	for _, trust := range [][]string{{"--pin", f.pin}, {"--ca", ca}, {"--ca", ca, "--pin", f.pin}} {
		for _, server := range []string{f.lines, f.web, strings.Replace(f.web, "https", "wss", 1) + "/v1/socket"} {
			f.town.web = f.web // what the server says beside its TLS listener
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			at := func(args ...string) []string { return append(args, "--server", server) }
			expect(t, exitFailed, "", at("login", "--username", "ann", "--password-file", file(t, password)), "not trusted here", "nothing was sent", "--pin "+f.pin, "--ca FILE")
			expect(t, exitDone, "", append(at("login", "--username", "ann", "--password-file", file(t, password)), trust...), "signed in to ")
			if n := f.devices(); n != 1 {
				t.Errorf("%s: %d devices", server, n)
			}
			if err := os.Remove(ca); err != nil { // the authorities themselves are remembered
				t.Error(err)
			}
			expect(t, exitDone, "", at("whoami"), "ann, member at ")
			expect(t, exitDone, "", at("send", "--join", "lobby", "hello over TLS"))
			expect(t, exitDone, "", at("tail", "lobby"), "ann:> hello over TLS")
			expect(t, exitDone, "once more\n", at("chat", "--plain", "--room", "lobby"))
			expect(t, exitFailed, "", append(at("whoami"), "--pin", strings.Repeat("ab", 32)), "not the pinned one", f.pin)
			expect(t, exitDone, "", at("logout"), "signed out of ")
			if n := f.devices(); n != 0 {
				t.Errorf("%s: %d devices after signing out", server, n)
			}
			expect(t, exitFailed, "", at("whoami"), "not signed in")
			expect(t, exitFailed, "", at("send", "lobby", "x"), "not trusted here") // forgotten
			if err := os.WriteFile(ca, f.authority.PEM, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is on the command line is checked before anything is sent.
func TestTrustOnTheCommandLine(t *testing.T) {
	f := newFronts(t, tlstest.Certificate{Hosts: []string{"127.0.0.1"}})
	for text, args := range map[string][]string{
		"--ca":               {"--server", f.lines, "--ca", "/nowhere"},
		"in PEM form":        {"--server", f.lines, "--ca", file(t, "no certificate")},
		"44 characters":      {"--server", f.lines, "--pin", "abc"},
		"has no certificate": {"--server", f.addr, "--pin", f.pin},
		"leave out the part": {"--server", "https://ann:hidden@chat.example"},
		"--server: ":         {"--server", "ftp://chat.example"},
	} {
		out := expect(t, exitUsage, "", append([]string{"tail", "lobby"}, args...), text)
		if strings.Contains(out, "hidden") {
			t.Errorf("%q: %s", args, out)
		}
	}
	t.Setenv("KABAN_PIN", f.pin)
	t.Setenv("KABAN_SERVER", f.lines)
	expect(t, exitFailed, "", []string{"whoami"}, "not signed in")
	expect(t, exitDone, f.token("ann"), []string{"login", "--token-file", "-"}, "as ann")
	t.Setenv("KABAN_PIN", "")
	expect(t, exitDone, "", []string{"whoami"}, "ann, member at "+f.lines)
	expect(t, exitDone, "", []string{"logout"}, "forgot the token")
}

// After a password the server says where its page is. Where it does not, signing out
// says that the device stays.
func TestThePageOfAPassword(t *testing.T) {
	f := newFronts(t, tlstest.Certificate{})
	login := func() {
		t.Helper()
		expect(t, exitDone, "", []string{"login", "--server", f.addr, "--username", "ann", "--password-file", file(t, password)}, "as ann")
	}
	f.town.web = "http://" + f.page
	login()
	if n := f.devices(); n != 1 {
		t.Fatalf("%d devices", n)
	}
	expect(t, exitDone, "", []string{"logout", "--server", f.addr}, "signed out of "+f.addr)
	if n := f.devices(); n != 0 {
		t.Errorf("%d devices after signing out", n)
	}
	f.town.web = ""
	login()
	var flags connectFlags
	if _, err := flags.devices(t.Context(), f.addr); err == nil || !strings.Contains(err.Error(), "--web URL") {
		t.Errorf("devices: %v", err)
	}
	expect(t, exitFailed, "", []string{"logout", "--server", f.addr}, "the token is deleted here", "list of your devices")
	for said, want := range map[[2]string]string{
		{"tls://chat.example", "https://chat.example/chat/"}: "https://chat.example/chat",
		{"tls://chat.example", "http://127.0.0.1:6480"}:      "", // that is this machine
		{"127.0.0.1", "http://127.0.0.1:6480"}:               "http://127.0.0.1:6480",
		{"127.0.0.1", "https://chat.example"}:                "https://chat.example",
		{"127.0.0.1", "tcp://127.0.0.1"}:                     "",
		{"127.0.0.1", ""}:                                    "",
		{"127.0.0.1", "javascript:alert(1)"}:                 "",
	} {
		if got := webSaidBy(said[0], said[1]); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// The page gets the trust of the server if it is on the same host.
func TestTrustInThePage(t *testing.T) {
	newTown(t)
	pin := dial.Pin{1}
	f := serverFlags{Pin: pin.String()}
	for web, want := range map[string]dial.Pin{"https://chat.example": pin, "https://chat.example:8443/x": pin, "https://other.example": {}, "http://chat.example": {}} {
		got, err := f.toWeb("tls://chat.example:6440", web)
		if err != nil || got.Trust.Pin != want {
			t.Errorf("%s: got %v, %v", web, got.Trust.Pin, err)
		}
	}
}

// Each failure says what happened and what to do.
func TestExplainWay(t *testing.T) {
	const addr = "tls://chat.example:6440"
	certificate := func(fault dial.Fault) error {
		return fmt.Errorf("connect: %w", &dial.CertificateError{Host: "chat.example", Fault: fault, Pin: dial.Pin{1}, Names: []string{"a.example"}})
	}
	pin := dial.Pin{1}.String()
	for _, c := range []struct {
		err  error
		want []string
	}{
		{certificate(dial.WrongName), []string{"is for a.example, not for chat.example", "use one of these names"}},
		{certificate(dial.Expired), []string{"expired on", "must renew it", "clock of this machine"}},
		{certificate(dial.NotYetValid), []string{"not valid before", "clock of this machine"}},
		{certificate(dial.SelfSigned), []string{"self-signed", "--pin " + pin, "--ca FILE"}},
		{certificate(dial.UnknownAuthority), []string{"not trusted here", "--ca FILE", "--pin " + pin}},
		{&dial.CertificateError{Host: "chat.example", Fault: dial.UnknownAuthority, Pin: dial.Pin{1}, OwnCA: true}, []string{"not signed by the authority that was given", "its own authority with --ca FILE", "--pin " + pin + " without --ca"}},
		{certificate(dial.PinDiffers), []string{"its pin is " + pin, "only if the server's operator confirms"}},
		{certificate(dial.Invalid), []string{"is not valid", "operator"}},
		{&dial.ProxyError{Proxy: "p:1", Status: 407}, []string{"the proxy at p:1 wants a name and a password", "http://NAME:PASSWORD@HOST:PORT"}},
		{&dial.ProxyError{Proxy: "p:1", Status: 403}, []string{"the proxy at p:1 refuses", "NO_PROXY"}},
		{&dial.UpgradeError{Status: 404}, []string{"HTTP status 404", "path of --server"}},
		{&dial.UpgradeError{Status: 401, Detail: "this server has no owner yet"}, []string{"refuses: this server has no owner yet (HTTP status 401)"}},
		{&dial.UpgradeError{Status: 421}, []string{"does not know that it has this name", "--origin"}},
		{dial.ErrNoTLS, []string{"does not speak TLS there", "tcp://"}},
		{dial.ErrTLSOnly, []string{"speaks TLS there", "tls://"}},
		{dial.ErrWebServer, []string{"a web server answers", "https://"}},
		{dial.ErrNoWebServer, []string{"no web server answers", "tcp://"}},
		{&client.Error{Code: wire.CodeTLSRequired}, []string{"which is not encrypted", "change any secret you sent"}},
		{dial.ErrNoUse, []string{"has no certificate to check"}},
		{&net.DNSError{Name: "h.example", IsNotFound: true}, []string{`no host named "h.example"`, "--server"}},
		{&net.DNSError{Name: "h.example", Err: "server misbehaving", IsTemporary: true}, []string{"cannot be looked up now", "DNS"}},
		{syscall.ECONNREFUSED, []string{"nothing listens", "kaban serve"}},
		{context.DeadlineExceeded, []string{"does not answer in time", "firewall"}},
		{os.ErrDeadlineExceeded, []string{"does not answer in time"}},
	} {
		got := unreachable(addr, fmt.Errorf("connect: %w", c.err)).Error()
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in %q", c.err, want, got)
			}
		}
	}
	if text := explainWay(addr, errors.New("else")); text != "" {
		t.Errorf("anything else: %q", text)
	}
	if text := unreachable(addr, io.EOF).Error(); !strings.Contains(text, "is not a Kaban server") {
		t.Errorf("an end: %q", text)
	}
}

// Servers that are something else are named as such.
func TestWrongServers(t *testing.T) {
	f := newFronts(t, tlstest.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), Hosts: []string{"127.0.0.1"}})
	ca := file(t, string(f.authority.PEM))
	for server, texts := range map[string][]string{
		f.lines: {"expired on", "must renew it"},
		strings.Replace(f.addr, "127", "tls://127", 1): {"does not speak TLS there"},
		"https://" + f.page:                            {"does not speak TLS there"},
		"tls://" + f.page:                              {"does not speak TLS there"},
	} {
		expect(t, exitFailed, "", []string{"tail", "lobby", "--server", server, "--ca", ca}, texts...)
	}
	expect(t, exitFailed, "", []string{"tail", "lobby", "--server", "http://" + f.addr}, "no web server answers", "tcp://HOST:PORT")
	expect(t, exitFailed, "", []string{"tail", "lobby", "--server", "tcp://" + f.page}, "a web server answers")
	expect(t, exitFailed, "", []string{"tail", "lobby", "--server", "http://" + f.page + "/nowhere"}, "HTTP status 404")
}

// A visitor without a secret at a listener with TLS has nothing to change.
func TestVisitorAtTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, `{"type":"error","code":"tls_required","message":"this address speaks TLS"}`+"\n"+`{"type":"goodbye","reason":"auth"}`+"\n")
			conn.Close()
		}
	})
	expect(t, exitFailed, "", []string{"send", "lobby", "hi", "--username", "ann", "--server", "tcp://" + l.Addr().String()}, "speaks TLS there; use the same address with tls://")
}

// What needs one of two flags says so.
func TestUserLinkNeedsOneOfTwo(t *testing.T) {
	expect(t, exitUsage, "", []string{"user", "link", "ann"}, "give --subject", "--visitor")
	expect(t, exitUsage, "", []string{"user", "link", "ann", "--subject", "x", "--visitor", "y"}, "--subject", "--visitor")
	out := expect(t, exitDone, "", []string{"user", "link", "--help"}, "kaban user link <name> [flags]", "Give this or --subject")
	if strings.Contains(out, "link --subject") {
		t.Errorf("both look required: %s", out)
	}
}
