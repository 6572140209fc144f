//go:build unix

package e2e

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban/internal/tlstest"
)

// A server has its certificate from files. It takes a new one by itself and on SIGHUP,
// keeps the old one if the new one cannot be used, and leads plain HTTP to it.
func TestTLSFromFiles(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	dir := t.TempDir()
	cert, key := authority.Issue(90*24*time.Hour, "first.example.org")
	certFile, keyFile := authority.Write(dir, cert, key)
	server := command(t, "serve", "--data", ":memory:", "--tls-cert", certFile, "--tls-key", keyFile,
		"--listen", "https://127.0.0.1:0", "--listen", "tls://127.0.0.1:0", "--listen", "http://0.0.0.0:0", "--listen", "http://127.0.0.1:0")
	server.begin()
	server.await("msg=ready")
	said := server.String()
	find := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(said)
		if found == nil {
			t.Fatalf("no %s in the log\n%s", pattern, said)
		}
		return found[1]
	}
	secure, public, local := find(`url=https://(\S+)`), "127.0.0.1:"+find(`url=http://(?:\[::\]|0\.0\.0\.0):(\d+)`), find(`url=http://(127\S+)`)
	if strings.Contains(said, "nothing is encrypted") {
		t.Errorf("there is a warning of a listener that only leads elsewhere\n%s", said)
	}
	if claim := find(`msg=claim url=(\S+)`); !strings.HasPrefix(claim, "https://first.example.org:") {
		t.Errorf("the claim link is %s", claim)
	}
	open := func(name string) error {
		for _, address := range []string{secure, find(`url=tls://(\S+)`)} {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: authority.Pool(), ServerName: name})
			if err != nil {
				return err
			}
			conn.Close()
		}
		return nil
	}
	if err := open("first.example.org"); err != nil {
		t.Fatal(err)
	}

	old, err := tls.Dial("tcp", secure, &tls.Config{RootCAs: authority.Pool(), ServerName: "first.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := io.WriteString(old, "GET /v1/rooms/lobby/events HTTP/1.1\r\nHost: first.example.org\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(old)
	readUntil(t, events, "event: joined")
	line, err := tls.Dial("tcp", find(`url=tls://(\S+)`), &tls.Config{RootCAs: authority.Pool(), ServerName: "first.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if _, err := io.WriteString(line, `{"type":"hello","version":1,"username":"ann"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	frames := bufio.NewReader(line)
	readUntil(t, frames, `{"type":"welcome"`)
	second, secondKey := authority.Issue(90*24*time.Hour, "second.example.org")
	write := func(cert, key []byte) {
		t.Helper()
		authority.Write(dir, cert, key)
	}
	write(second[:len(second)/2], secondKey)
	server.await("msg=\"the certificate was not replaced, the old one stays in use\"") // by itself
	if err := server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	server.await(`part="the certificates"`)
	if err := open("first.example.org"); err != nil {
		t.Errorf("the old certificate is not in use: %v", err)
	}
	write(second, secondKey)
	server.await("msg=certificate hosts=second.example.org") // by itself
	if err := open("second.example.org"); err != nil {
		t.Errorf("the new certificate is not in use: %v", err)
	}
	third, thirdKey := authority.Issue(90*24*time.Hour, "third.example.org")
	write(third, thirdKey)
	if err := server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	server.until(func() bool { return open("third.example.org") == nil })
	readUntil(t, events, ": ") // a sign of life, on the connection of before
	readUntil(t, events, ": ")
	if _, err := io.WriteString(line, `{"type":"join","room":"lobby"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	readUntil(t, frames, `{"type":"joined"`)

	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, port, err := net.SplitHostPort(secure)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{public: "308 https://127.0.0.1:" + port + "/v1/server?x", local: "200 "} {
		got, err := client.Get("http://" + address + "/v1/server?x")
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if have := got.Status[:4] + got.Header.Get("Location"); have != want {
			t.Errorf("%s answers %q, want %q", address, have, want)
		}
	}
	client.CloseIdleConnections()
}

// readUntil reads lines until one begins with a text.
func readUntil(t *testing.T, lines *bufio.Reader, beginning string) {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("no %q: %v", beginning, err)
		}
		if strings.HasPrefix(line, beginning) {
			return
		}
	}
}

// A start without a certificate, or with one that cannot be used, ends with 2 and says
// what to do.
func TestTLSWithoutACertificate(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	cert, key := authority.Issue(90*24*time.Hour, "first.example.org")
	_, otherKey := authority.Issue(90*24*time.Hour, "first.example.org")
	good, goodKey := authority.Write(t.TempDir(), cert, key)
	_, wrongKey := authority.Write(t.TempDir(), cert, otherKey)
	file := filepath.Join(t.TempDir(), "kaban.toml")
	if err := os.WriteFile(file, []byte("[tls]\nacme = { hosts = [\"chat.example.org\"] }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"name its files with --tls-cert and --tls-key": nil,
		"without its key":             {"--tls-cert", good},
		"is not for the key":          {"--tls-cert", good, "--tls-key", wrongKey},
		"check the path":              {"--tls-cert", good + ".none", "--tls-key", goodKey},
		"start with a data directory": {"--config", file},
	} {
		server := command(t, append([]string{"serve", "--data", ":memory:", "--listen", "https://127.0.0.1:0"}, args...)...)
		server.begin()
		if code := server.finish(); code != 2 || !strings.Contains(server.String(), want) {
			t.Errorf("%v ends with %d, want 2 and %q:\n%s", args, code, want, server)
		}
	}
}
