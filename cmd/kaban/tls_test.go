package main

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban/internal/certs"
	"kaban/internal/tlstest"
)

// TestCertificateSettings is the table of addresses and where certificates come from.
func TestCertificateSettings(t *testing.T) {
	const plain, https = "http://127.0.0.1:0", "https://127.0.0.1:0"
	const hosts = "[tls]\nacme = { hosts = [\"chat.example.org\"] }\n"
	for _, c := range []struct {
		listen, cert, key, data, file string
		refused                       string // "": it is not
	}{
		{listen: plain},
		{listen: https, refused: "--listen https://127.0.0.1:0 needs a certificate: name its files with --tls-cert and --tls-key, or the hosts for ACME"},
		{listen: https, cert: "cert.pem", key: "key.pem"},
		{listen: plain, cert: "cert.pem", key: "key.pem"}, // a warning
		{listen: https, cert: "cert.pem", refused: "without its key"},
		{listen: plain, key: "key.pem", refused: "without its certificate"},
		{listen: https, data: "data", file: hosts},
		{listen: https, data: inMemory, file: hosts, refused: "start with a data directory"},
		{listen: https, data: "data", file: "tls.acme.hosts = [\"chat.example.org\"]\ntls.acme.email = \"a@example.org\"\ntls.acme.directory = \"https://ca.example/dir\"\n"},
		{listen: https, data: "data", file: "tls.acme.email = \"a@example.org\"\n", refused: "name the hosts"},
		{listen: https, data: "data", file: "tls.acme.hosts = [\"localhost\"]\n", refused: "no public host name"},
		{listen: https, data: "data", file: hosts, cert: "cert.pem", key: "key.pem", refused: "but not both"},
	} {
		command := &serveCommand{}
		if c.file != "" {
			var err error
			if command, err = loadFile(writeFile(t, c.file)); err != nil || command.problems != nil {
				t.Fatalf("%+v: %v, %v", c, err, command.problems)
			}
		}
		command.TLSCert, command.TLSKey, command.Data = c.cert, c.key, c.data
		endpoints, err := parseListens("--listen", []string{c.listen})
		if err != nil {
			t.Fatal(err)
		}
		err = command.checkTLS(endpoints)
		if c.refused == "" && err == nil {
			continue
		}
		if _, ok := errors.AsType[usageError](err); !ok || c.refused == "" || !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%+v: got %v, want exit code 2 and %q", c, err, c.refused)
		}
	}
}

// A mistake in the files ends a start with 2. Files that nothing uses are not read.
func TestCertificateFiles(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	cert, key := authority.Issue(time.Hour, "chat.example.org")
	certFile, keyFile := authority.Write(t.TempDir(), cert, key)
	open := func(listen, cert string) (*certs.Source, error) {
		t.Helper()
		endpoints, err := parseListens("--listen", []string{listen})
		if err != nil {
			t.Fatal(err)
		}
		return (&serveCommand{TLSCert: cert, TLSKey: keyFile}).certificates(endpoints, slog.New(slog.DiscardHandler))
	}
	if source, err := open("https://127.0.0.1:0", certFile); err != nil || source.NotAfter().IsZero() {
		t.Errorf("got %v", err)
	}
	_, err := open("https://127.0.0.1:0", filepath.Join(t.TempDir(), "none"))
	if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), "check the path") {
		t.Errorf("got %v, want exit code 2", err)
	}
	if source, err := open("http://127.0.0.1:0", "none"); source != nil || err != nil {
		t.Errorf("got %v, %v", source, err)
	}
}

// at is a listener with an address only.
type at struct {
	net.Listener
	addr net.TCPAddr
}

func (a at) Addr() net.Addr { return &a.addr }

// The address of the page is that of the certificate.
func TestSecureURL(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	for _, c := range []struct {
		hosts []string // of the certificate
		url   string
		ip    string
		port  int
		want  string
	}{
		{[]string{"chat.example.org", "other.example.org"}, "https://0.0.0.0:0", "::", 443, "https://chat.example.org"},
		{[]string{"chat.example.org"}, "https://0.0.0.0:0", "::", 8443, "https://chat.example.org:8443"},
		{[]string{"*.example.org", "chat.example.org"}, "https://0.0.0.0:0", "::", 443, "https://chat.example.org"},
		{[]string{"*.example.org"}, "https://0.0.0.0:0", "::", 443, "https://localhost"},
		{[]string{"*.example.org"}, "https://chat.example.org:0", "192.0.2.1", 443, "https://chat.example.org"},
		{[]string{"192.0.2.1"}, "https://192.0.2.1:0", "192.0.2.1", 8443, "https://192.0.2.1:8443"},
		{[]string{"2001:db8::1"}, "https://[2001:db8::1]:0", "2001:db8::1", 443, "https://[2001:db8::1]"},
		{[]string{"2001:db8::1"}, "https://[2001:db8::1]:0", "2001:db8::1", 8443, "https://[2001:db8::1]:8443"},
		{nil, "http://127.0.0.1:0", "127.0.0.1", 6480, ""},
	} {
		endpoints, err := parseListens("--listen", []string{c.url})
		if err != nil {
			t.Fatal(err)
		}
		endpoints[0].listener = at{addr: net.TCPAddr{IP: net.ParseIP(c.ip), Port: c.port}}
		var source *certs.Source
		if c.hosts != nil {
			cert, key := authority.Issue(time.Hour, c.hosts...)
			certFile, keyFile := authority.Write(t.TempDir(), cert, key)
			if source, err = certs.Open(certs.Settings{Cert: certFile, Key: keyFile}, certs.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := secureURL(endpoints, source); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
