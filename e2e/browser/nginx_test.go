package browser

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kaban/internal/account"
	"kaban/internal/childtest"
	"kaban/internal/tlstest"
)

// behindNginx is a server behind nginx, which has one of the files of deploy/nginx.
type behindNginx struct {
	*server
	public string // https://localhost:PORT, and a path
}

// startBehindNginx starts a server, and nginx in front of it with the documented file:
// names, ports and certificate are replaced, and HTTP/2 is left out unless it is wanted.
func startBehindNginx(t *testing.T, file, data, base string, http2 bool) *behindNginx {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	public := l.Addr().(*net.TCPAddr)
	origin := fmt.Sprintf("https://localhost:%d", public.Port)
	s := startServer(t, data, "--origin", origin, "--base-path", base, "--proxy", "127.0.0.2", "--max-content", "16000")

	text, err := os.ReadFile(filepath.FromSlash("../../deploy/nginx/" + file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authority := tlstest.NewAuthority(t)
	cert, key := authority.Issue(time.Hour, "localhost")
	certFile, keyFile := authority.Write(dir, cert, key)
	site := string(text)
	for _, r := range [][2]string{
		{"    listen [::]:443 ssl http2;\n", ""},
		{"listen 443 ssl", "listen " + public.String() + " ssl"},
		{"server 127.0.0.1:6480;", "server " + strings.TrimPrefix(s.url, "http://") + ";"},
	} {
		if !strings.Contains(site, r[0]) {
			t.Fatalf("%s has no %q", file, r[0])
		}
		site = strings.ReplaceAll(site, r[0], r[1])
	}
	if !http2 {
		site = strings.ReplaceAll(site, " http2;", ";")
	}
	lines := strings.SplitAfter(site, "\n")
	for i, line := range lines {
		switch {
		case strings.Contains(line, "server_name "):
			lines[i] = "server_name localhost;\n"
		case strings.Contains(line, "ssl_certificate_key "):
			lines[i] = "ssl_certificate_key " + keyFile + ";\n"
		case strings.Contains(line, "ssl_certificate "):
			lines[i] = "ssl_certificate " + certFile + ";\n"
		}
	}
	configuration := "pid " + dir + "/pid;\ndaemon off;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n"
	if os.Geteuid() == 0 {
		configuration = "user root root;\n" + configuration // others cannot write into dir
	}
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		configuration += temp + "_temp_path " + filepath.Join(dir, temp) + ";\n"
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(configuration+strings.Join(lines, "")+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runNginx(t, path, l)
	return &behindNginx{s, origin + base}
}

// runNginx runs nginx for the duration of the test. It takes over a listener, so that
// no port can be lost between two programs.
func runNginx(t *testing.T, path string, l net.Listener) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	defer socket.Close()
	nginx := exec.Command(program, "-e", "stderr", "-c", path)
	nginx.Env = append(os.Environ(), "NGINX=3;")
	nginx.ExtraFiles = []*os.File{socket}
	var log bytes.Buffer
	nginx.Stderr = &log
	childtest.Bind(nginx, syscall.SIGTERM) // for its workers too
	if err := nginx.Start(); err != nil {
		t.Fatalf("start nginx, which scripts/setup installs: %v", err)
	}
	t.Cleanup(func() {
		nginx.Process.Signal(syscall.SIGTERM)
		if err := nginx.Wait(); err != nil || t.Failed() {
			t.Logf("nginx ended: %v\n%s", err, log.String())
		}
	})
}

// TestNginx uses a server through nginx as the documentation has it set up: the page,
// WebSockets, streams of events, large messages, and who a request comes from.
func TestNginx(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, base string
		http2      bool
	}{
		"root over HTTP/2":           {"kaban.conf", "", true},
		"root over HTTP/1.1":         {"kaban.conf", "", false},
		"below a path over HTTP/2":   {"kaban-below-a-path.conf", "/chat", true},
		"below a path over HTTP/1.1": {"kaban-below-a-path.conf", "/chat", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := ownedData(t, "invite", "ben")
			var token string
			prepare(t, data, func(accounts *account.Service) {
				var err error
				if _, token, err = accounts.MakeToken(t.Context(), account.Operator(), account.NewToken{Username: "ben", Name: "test"}); err != nil {
					t.Fatal(err)
				}
			})
			s := startBehindNginx(t, c.file, data, c.base, c.http2)
			program := &program{t: t, url: s.public, token: token, http2: c.http2}

			p := newPage(t, desktop)
			p.expectBreaks() // the browser reports each 401
			p.signIn(s.public+"/", "olga")
			p.until(`location.pathname === %s`, c.base+"/r/lobby")
			if want := map[bool]string{true: "h2", false: "http/1.1"}[c.http2]; p.text(`performance.getEntriesByType('navigation')[0].nextHopProtocol`) != want {
				t.Errorf("the page does not come over %s", want)
			}
			lines := program.events("lobby")
			p.say("hello through nginx")
			p.stored("hello through nginx")
			awaitLine(t, lines, "hello through nginx")
			large := strings.Repeat("\U0001F600", 16000) // 64,000 bytes
			program.post("lobby", large)
			awaitLine(t, lines, large)
			p.until(`[...document.querySelectorAll('.content')].some((c) => c.innerText.length >= 32000)`)
			p.run(chromedp.Reload())
			p.online()
			p.sees("hello through nginx")
			if c.base != "" {
				p.until(`[...document.querySelectorAll('a[href*="/r/"]')].every((a) => a.pathname.startsWith('/chat/r/'))`)
			}
			program.audited("127.0.0.7", data)
		})
	}
}

// program uses the HTTP API.
type program struct {
	t          *testing.T
	url, token string
	http2      bool
}

// client returns a client at an address of this machine.
func (p *program) client(from string) *http.Client {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the browser tests look at nothing else
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, strings.Replace(address, "localhost", "127.0.0.1", 1))
		},
		ForceAttemptHTTP2: p.http2,
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (p *program) do(from, method, path string, body any) *http.Response {
	p.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := p.client(from).Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { response.Body.Close() })
	return response
}

// post sends a message.
func (p *program) post(room, content string) {
	p.t.Helper()
	r := p.do("127.0.0.1", http.MethodPost, "/v1/rooms/"+room+"/messages", map[string]string{"id": "large", "content": content})
	if text, _ := io.ReadAll(r.Body); r.StatusCode/100 != 2 {
		p.t.Fatalf("post %d bytes: %s %s", len(content), r.Status, text)
	}
}

// events returns the lines of a stream of events.
func (p *program) events(room string) <-chan string {
	p.t.Helper()
	r := p.do("127.0.0.1", http.MethodGet, "/v1/rooms/"+room+"/events", nil)
	if r.StatusCode != http.StatusOK {
		p.t.Fatalf("events: %s", r.Status)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(r.Body)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	return lines
}

func awaitLine(t *testing.T, lines <-chan string, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatal("the stream of events ended")
			}
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("no event with %.40q", text)
		}
	}
}

// audited fails a sign-in from an address, and finds the address in the audit, whatever
// a client says about itself.
func (p *program) audited(from, data string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/v1/session", strings.NewReader(`{"username":"olga","password":"a wrong password"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", strings.TrimSuffix(p.url, "/chat"))
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	request.Header.Set("Forwarded", "for=192.0.2.1")
	response, err := p.client(from).Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		p.t.Fatalf("a wrong password: %s %s", response.Status, text)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		rows, err := exec.Command(binary, "audit", "--data", data, "--json", "--action", "sign_in.failed").CombinedOutput()
		switch {
		case err != nil:
			p.t.Fatalf("audit: %v\n%s", err, rows)
		case strings.Contains(string(rows), `"`+from+`"`) && !strings.Contains(string(rows), "192.0.2.1"):
			return
		case time.Now().After(deadline):
			p.t.Fatalf("the audit does not have %s:\n%s", from, rows)
		}
	}
}
