// Package pebbletest gets certificates from a real ACME server, pebble of Let's Encrypt,
// which serves within the test. Its validation connects to the server for real. It is a
// separate module, so that pebble's dependencies are not the server's.
package pebbletest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"PEBBLE_VA_NOSLEEP":      "1",
		"PEBBLE_AUTHZREUSE":      "0",  // each certificate takes a validation
		"PEBBLE_WFE_NONCEREJECT": "10", // of a hundred
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

// pebble is an ACME server.
type pebble struct {
	t        *testing.T
	server   *httptest.Server
	dns      string
	httpPort int // where it validates
	tlsPort  int

	begun     chan struct{}
	beginning sync.Once
	authority *ca.CAImpl
	memory    *db.MemoryStore
	handler   atomic.Pointer[http.Handler] // nil while it is down
}

// newPebble starts a server that validates at two ports of this machine, whatever the
// host. Its certificates are good for a number of seconds.
func newPebble(t *testing.T, httpPort, tlsPort, life int) *pebble {
	t.Helper()
	p := newPebbleToBe(t)
	p.httpPort, p.tlsPort = httpPort, tlsPort
	p.begin(life)
	return p
}

// newPebbleToBe starts a server whose clients wait until it begins.
func newPebbleToBe(t *testing.T) *pebble {
	t.Helper()
	p := &pebble{t: t, dns: serveDNS(t), begun: make(chan struct{})}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-p.begun:
		case <-r.Context().Done():
		}
		handler := p.handler.Load()
		if handler == nil {
			hijacked, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				hijacked.Close()
			}
			return
		}
		(*handler).ServeHTTP(w, r)
	}))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	return p
}

// begin starts the server with an empty memory and a new authority.
func (p *pebble) begin(life int) {
	quiet := log.New(io.Discard, "", 0)
	p.memory = db.NewMemoryStore()
	p.authority = ca.New(quiet, p.memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life)}})
	validation := va.New(quiet, p.httpPort, p.tlsPort, true, p.dns, p.memory)
	front := wfe.New(quiet, p.memory, validation, p.authority, []string{"pebble.letsencrypt.org"}, true, false, 1, 1)
	handler := front.Handler()
	p.handler.Store(&handler)
	p.beginning.Do(func() { close(p.begun) })
}

// end has the server cut all requests off.
func (p *pebble) end() { p.handler.Store(nil) }

func (p *pebble) directory() string { return p.server.URL + wfe.DirectoryPath }

// rootFile writes the certificate of the server itself to a file.
func (p *pebble) rootFile() string {
	p.t.Helper()
	name := filepath.Join(p.t.TempDir(), "pebble.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// client returns a configuration of TLS for connections to a host with a certificate
// from here.
func (p *pebble) client(host string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(p.authority.GetRootCert(0).Cert)
	return &tls.Config{RootCAs: roots, ServerName: host}
}

// serveDNS serves names that all lead to this machine.
func serveDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w dns.ResponseWriter, question *dns.Msg) {
		m := new(dns.Msg).SetReply(question)
		for _, q := range question.Question {
			if q.Qtype == dns.TypeA {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
			}
		}
		if err := w.WriteMsg(m); err != nil {
			t.Log(err)
		}
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(answer)}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}
